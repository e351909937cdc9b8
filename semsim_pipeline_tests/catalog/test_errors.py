"""Everything that can be wrong with a catalogue, the line that says so, and that it is one line each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semsim_pipeline.catalog import load_catalog, parse, read_catalog
from semsim_pipeline.errors import CatalogError, WrongCallError
from semsim_pipeline_tests.catalog.conftest import HEAD, Read

LONG = "x" * 49
FILES = [
    ("", 1, "the file is empty"),
    ("# only a comment\n", 1, "the file is empty"),
    ("\n- a\n", 2, "not a mapping: expected the sections datasets, encoders, comparisons"),
    ("3", 1, "not a mapping"),
    ("datasets:\n  a: [1\n", 3, "this is not YAML"),
    ("datasets:\n\ta: x\n", 2, "this is not YAML"),
    ("datasets:\n  a: \x00\n", 2, "this is not YAML: special characters"),
    ("datasets: {}\n---\ndatasets: {}\n", 2, "this is not YAML.*another document"),
    ("datasets: {}\nencoders: *x\n", 2, "this is not YAML.*alias"),
    ("a: " + "[" * 5000, 1, "this is not YAML.*recursion"),
    ("\ndatasets: {}\ndatasets: {}\n", 3, "'datasets' is there twice: on lines 2 and 3"),
    ("datasets:\n  a: x\n  b: y\n  a: z\n", 4, "datasets: 'a' is there twice: on lines 2 and 4"),
    ("dataset: {}", 1, "unknown key 'dataset'. Did you mean 'datasets'?"),
    ("? [a]\n: b", 1, "a key: expected a text; found a list"),
    ("datasets: [a]", 1, "datasets: expected a mapping.*found a list"),
    ("datasets:\n  a.b: x", 2, "datasets: the name 'a.b' cannot be used"),
    ("datasets:\n  a,b: x", 2, "'a,b' cannot"),
    ("datasets:\n  a b: x", 2, "'a b' cannot"),
    ("datasets:\n  a~b: x", 2, "'a~b' cannot"),
    ("datasets:\n  a@b: x", 2, "'a@b' cannot"),
    ("datasets:\n  größe: x", 2, "'größe' cannot"),
    ("datasets:\n  ٣: x", 2, "'٣' cannot"),
    (f"datasets:\n  {LONG}: x", 2, "48 at most"),
    ("datasets:\n  '': x", 2, "the name '' cannot"),
    ("datasets:\n  a: [1]", 2, "datasets.a: expected a mapping.*found a list"),
    ("datasets:\n  a:", 2, "datasets.a: expected a text; found nothing"),
    ("datasets:\n  a: ''", 2, "it is empty"),
    ("datasets:\n  a:\n    spec: x\n    specs: x", 4, "unknown key 'specs'. Did you mean 'spec'?"),
    ("datasets:\n  a:\n    values: {}", 2, "it has no spec"),
    ("datasets:\n  a:\n    spec: {}", 3, "expected a text; found a mapping"),
    ("datasets:\n  a: 'cifak:x.zip'", 2, "unknown source kind 'cifak'. Did you mean 'cifake'?"),
    ("datasets:\n  a: 'parquet:'", 2, "needs a location"),
    ("datasets:\n  a: 'digits:x'", 2, "takes no location"),
    ("datasets:\n  a: 'photos[label=cat'", 2, "the bracket is not closed"),
    ("datasets:\n  a: 'digits[label=x]'", 2, "unknown label 'x'. Known: 0, 1"),
    ("datasets:\n  a: 'digits[lable=1]'", 2, "unknown column of digits 'lable'. Did you mean 'label'?"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      label: cat", 5, "expected a list such as"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      label: []", 5, "this list is empty"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      label: [3, 4, 3]", 5, "'3' is in the list twice"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      label: [x, null]", 5, "expected a text; found nothing"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      limit: [x]", 5, "'limit' is no column"),
    ("datasets:\n  a:\n    spec: p\n    values:\n      group_by: [x]", 5, "an option of the source"),
    ("datasets:\n  a:\n    spec: digits\n    values:\n      label: [1, x]", 5, "unknown label 'x'"),
    ("datasets:\n  a:\n    spec: digits\n    values:\n      class: [x]", 5, "unknown column of digits 'class'"),
    ("datasets:\n  a: {spec: 'p[label=x]', values: {label: [y]}}", 2, "unknown label 'x'"),
    ("encoders:\n  a.b: classical", 2, "encoders: the name 'a.b' cannot"),
    ("encoders:\n  a: clasical", 2, "encoders.a: unknown encoder 'clasical'. Did you mean 'classical'?"),
    ("encoders:\n  a: 'timm:'", 2, "names a family only"),
    ("encoders:\n  a: 'tim:x'", 2, "unknown encoder 'tim:x'"),
    ("encoders:\n  a: [x]", 2, "encoders.a: expected a text; found a list"),
    ("comparisons:\n  a.b: {}", 2, "comparisons: the name 'a.b' cannot"),
    ("datasets: {a: digits}\ncomparisons:\n  x:\n    pairs: [[a, a]]", 3, "no encoder; add"),
]
COMPARISONS = [
    ("", "x: it names nothing to compare; write one of"),
    ("across: d", "`across` needs `by`"),
    ("by: label", "`by` needs `across`"),
    ("reference: d, match: label", "`reference` needs `candidate`"),
    ("reference: d, candidate: g", "`reference` needs `match`"),
    ("across: d, by: label, pairs: [[d, g]]", "it has pairs and across, but"),
    ("reference: d, candidate: g, match: label, by: label", "it has by and reference, but"),
    ("across: d, by: lable", "x.by: unknown column of digits 'lable'. Did you mean 'label'?"),
    ("across: p, by: label", "x.by: the classes of 'label' in p are not known.*values: {label: .*datasets.p"),
    ("across: c, by: split", "x.by: 'split' is no column: it is an option"),
    ("across: 'd[label=3]', by: label", "one class of 'label' only ('3')"),
    ("across: [d], by: label", "x.across: expected a text; found a list"),
    ("across: d, by: [label]", "x.by: expected a text"),
    ("across: z, by: label", "x.across: unknown dataset 'z'. Known: c, d, g, p."),
    ("across: photos/, by: label", "x.across: unknown dataset 'photos/'.*under `datasets`"),
    ("pairs: []", "x.pairs: there is no pair in it"),
    ("pairs: d", "x.pairs: expected a list such as"),
    ("pairs: [d, [d, g]]", "x.pairs[1]: expected a list such as [A, B]; found 'd'"),
    ("pairs: [[d, g], [d]]", "x.pairs[2]: expected two datasets"),
    ("pairs: [[d, g, p]]", "x.pairs[1]: expected two datasets, [A, B]; found 3"),
    ("pairs: [[d, g], ['d', 'g']]", "the pair d~g@e is there twice"),
    ("pairs: [['d[label=3|4]', g], ['d[ label = 4|3]', g]]", "is there twice"),
    ("pairs: [[d, 'z[label=3]']]", "x.pairs[1]: unknown dataset 'z'"),
    ("pairs: [[d, 'g[label=x]']]", "x.pairs[1]: unknown label 'x'"),
    ("pairs: [[d, 'g[lable=3]']]", "x.pairs[1]: unknown column of digits-generated 'lable'"),
    ("pairs: [[d, 'g[label=']]", "x.pairs[1]: Cannot read 'g[label='"),
    ("pairs: [['c[split=train]', d]]", "x.pairs[1]: 'split' is no column: it is an option"),
    ("pairs: [['p[group_by=subfolder]', d]]", "'group_by' is no column"),
    ("pairs: [[d, g]], encoders: [f]", "x.encoders: unknown encoder alias 'f'. Known: e."),
    ("pairs: [[d, g]], encoders: []", "x.encoders: this list is empty"),
    ("pairs: [[d, g]], encoders: e", "x.encoders: expected a list such as [classical]; found 'e'"),
    ("pairs: [[d, g]], encoders: [e, e]", "x.encoders: 'e' is in the list twice"),
    ("pairs: [[d, g]], seed: -1", "x.seed: expected a whole number, 0 to"),
    ("pairs: [[d, g]], seed: 1.5", "x.seed: expected a whole number"),
    ("pairs: [[d, g]], limit: 0", "x.limit: expected a whole number, 1 to"),
    ("pairs: [[d, g]], limit: ٣", "x.limit: expected a whole number, 1 to"),
    ("pairs: [[d, g]], limit: ²", "x.limit: expected a whole number, 1 to"),
    ("pairs: [[d, g]], limit: 1000000000", "1 to 999999999; found '1000000000'"),
    ("pairs: [[d, g]], limit: many", "x.limit: expected a whole number"),
    ("pairs: [[d, g]], title: [a]", "x.title: expected a text"),
    ("pairs: [[d, g]], encoder: e", "x: unknown key 'encoder'. Did you mean 'encoders'?"),
    (
        "reference: d, candidate: c, match: label",
        "only d has '0', '1', '2'; only c has 'FAKE', 'REAL'. They share none",
    ),
    ("reference: 'd[label=1|2]', candidate: 'g[label=2]', match: label", "only d[label=1|2] has '1'.*d[label=2]"),
    ("reference: 'd[label=2]', candidate: 'g[label=1|2]', match: label", "only g[label=1|2] has '1'.*d[label=2]"),
    ("reference: d, candidate: 'g[label=2|3]', match: label, seed: x", "x.seed"),
]


def said(caught: pytest.ExceptionInfo[CatalogError], tmp_path: Path) -> list[str]:
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{tmp_path / 'catalog.yaml'}:") for line in lines)
    return [line.removeprefix(f"{tmp_path / 'catalog.yaml'}:") for line in lines]


def matches(line: str, wanted: str) -> bool:
    """Whether all parts of `wanted` (between `.*`) are in the line, in order."""
    for part in wanted.split(".*"):
        _before, found, line = line.partition(part)
        if not found:
            return False
    return True


@pytest.mark.parametrize(("text", "line", "wanted"), FILES)
def test_a_wrong_file(read: Read, tmp_path: Path, text: str, line: int, wanted: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read(text)
    (only,) = said(caught, tmp_path)
    assert only.startswith(f"{line}: ")
    assert matches(only, wanted), only


@pytest.mark.parametrize(("inside", "wanted"), COMPARISONS)
def test_a_wrong_comparison(compare: Read, tmp_path: Path, inside: str, wanted: str) -> None:
    with pytest.raises(CatalogError) as caught:
        compare(inside)
    (only,) = said(caught, tmp_path)
    assert only.startswith("9: comparisons.x")
    assert matches(only, wanted), only


def test_a_key_is_told_by_its_own_line(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        read(
            f"{HEAD}comparisons:\n  x:\n    across: d\n    by: lable\n"
            "  y:\n    pairs:\n      - [d, g]\n      - [d, z]\n"
        )
    assert [line.partition(": unknown")[0] for line in said(caught, tmp_path)] == [
        "11: comparisons.x.by",
        "15: comparisons.y.pairs[2]",
    ]


def test_all_problems_at_once_in_the_files_order_and_ten_at_most(read: Read, tmp_path: Path) -> None:
    wrong = "".join(f"  d{n}: 'digits[label=x]'\n" for n in range(6)) + "".join(f"  e{n}: 'tim:x'\n" for n in range(6))
    with pytest.raises(CatalogError) as caught:
        read(f"encoder: {{}}\ndatasets:\n{wrong}comparisons:\n  x: {{pairs: [[d0, d1]]}}\n")
    lines = str(caught.value).split("\n")
    assert len(lines) == 11
    assert lines[-1].endswith("catalog.yaml: and 4 more")
    numbers = [int(line.removeprefix(f"{tmp_path / 'catalog.yaml'}:").split(":")[0]) for line in lines[:10]]
    assert numbers == [1, *range(3, 12)]


def test_problems_come_in_the_order_of_the_file(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        read("comparisons:\n  x: {}\nencoders:\n  e: clasical\ndatasets:\n  d: 'parquet:'\n")
    assert [line[0] for line in said(caught, tmp_path)] == ["2", "4", "6"]


def test_one_mistake_is_told_once(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        read(
            "datasets: {a.b: digits, d: 'digits[label=x]'}\nencoders: {e: clasical}\ncomparisons:\n"
            "  x: {across: d, by: label, encoders: [e]}\n  y: {pairs: [[d, a.b]]}\n"
        )
    assert [line[0] for line in said(caught, tmp_path)] == ["1", "1", "2"]


def test_a_filter_against_the_datasets_own(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        read(
            "datasets: {d: 'digits[label=3|4]'}\nencoders: {e: classical}\n"
            "comparisons:\n  x:\n    pairs: [['d[label=5]', d]]\n"
        )
    (only,) = said(caught, tmp_path)
    assert matches(only, "5: comparisons.x.pairs[1]: d is 'digits[label=3|4]', which filters label already.*not '5'")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    with pytest.raises(CatalogError, match="There is no catalogue"):
        read_catalog(path)
    path.mkdir()
    with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
        load_catalog(tmp_path)
    path.rmdir()
    path.symlink_to("gone.yaml")
    with pytest.raises(CatalogError, match="a link to something that is not there"):
        load_catalog(tmp_path)
    path.unlink()
    path.write_bytes(b"datasets: {a: caf\xe9}")
    with pytest.raises(CatalogError, match="no text in UTF-8"):
        load_catalog(tmp_path)
    path.write_bytes("\ufeffdatasets: {a: digits}".encode())
    assert load_catalog(tmp_path).dataset_keys() == ["a"]
    if os.geteuid():
        path.chmod(0)
        with pytest.raises(CatalogError, match="Permission denied"):
            load_catalog(tmp_path)


def test_it_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(WrongCallError) as caught:
        parse("", tmp_path / "x.yaml")
    assert caught.value.exit_code == 2
