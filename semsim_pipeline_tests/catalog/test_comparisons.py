"""Which pairs a comparison stands for, in which order, and what their keys are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.catalog import parse
from semsim_pipeline.catalog.load import PACKAGED
from semsim_pipeline.catalog.records import NAME
from semsim_pipeline.datasets.view_text import quoted
from semsim_pipeline.errors import CatalogError
from semsim_pipeline_tests.catalog.conftest import HEAD, Read

KEY = re.compile(r"[A-Za-z0-9._~@-]+")
LONGEST_KEY = 243

NAMES = st.from_regex(NAME, fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=30)


def keys(catalog_of: Read, inside: str) -> list[str]:
    return list(catalog_of(inside).comparisons["x"].pairs)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("pairs: [[d, g], [g, d], [d, d]]", ["d~g@e", "g~d@e", "d~d@e"]),
        ("pairs: [['d[label=3]', 'g[label=8]']]", ["d.3~g.8@e"]),
        ("pairs: [['d[limit=50,label=3]', 'g[limit=9,seed=1]']]", ["d.3.limit-50~g.limit-9.seed-1@e"]),
        ("pairs: [[d, g]], seed: 7", ["d~g@e.seed-7"]),
        ("pairs: [[d, g]], limit: 50", ["d.limit-50~g.limit-50@e"]),
        ("pairs: [[d, 'g[limit=9]']], limit: 50", ["d.limit-50~g.limit-9@e"]),
        ("pairs: [[d, 'g[limit=90,seed=2]']], limit: 50", ["d.limit-50~g.limit-50.seed-2@e"]),
        ("pairs: [[d, g]], limit: 50, seed: 7", ["d.limit-50.seed-7~g.limit-50.seed-7@e.seed-7"]),
        ("across: 'd[label=3|1|2]', by: label", ["d.1~d.2@e", "d.1~d.3@e", "d.2~d.3@e"]),
        ("across: 'c[label=REAL,class=dog|cat]', by: class", ["c.REAL.class-cat~c.REAL.class-dog@e"]),
        ("across: c, by: label", ["c.REAL~c.FAKE@e"]),
        ("across: 'p[label=b|a]', by: label, limit: 5", ["p.b.limit-5~p.a.limit-5@e"]),
        ("reference: 'd[label=2|1]', candidate: g, match: label", ["d.1~g.1@e", "d.2~g.2@e"]),
        ("reference: d, candidate: 'g[label=4]', match: label", ["d.4~g.4@e"]),
        ("reference: 'd[label=4]', candidate: 'p[label=4]', match: label", ["d.4~p.4@e"]),
        ("reference: 'd[label=4]', candidate: 'd[label=4]', match: label", ["d.4~d.4@e"]),
    ],
)
def test_keys(compare: Read, inside: str, expected: list[str]) -> None:
    assert keys(compare, inside) == expected


def test_a_class_takes_the_place_of_the_filter_that_named_it(compare: Read) -> None:
    pair = compare("across: 'c[class=cat|dog,label=REAL]', by: class").pairs["c.REAL.class-cat~c.REAL.class-dog@e"]
    assert pair.reference.view.filters == (("label", ("REAL",)), ("class", ("cat",)))
    assert pair.candidate.view.filters == (("label", ("REAL",)), ("class", ("dog",)))


def test_match_takes_the_other_filters_of_both_sides(compare: Read) -> None:
    catalog = compare("reference: 'c[label=REAL]', candidate: 'c[label=FAKE]', match: class")
    assert len(catalog.pairs) == 10
    pair = catalog.pairs["c.REAL.class-cat~c.FAKE.class-cat@e"]
    assert (pair.reference.text, pair.candidate.text) == ("c[class=cat,label=REAL]", "c[class=cat,label=FAKE]")
    assert catalog.comparisons["x"].labels[pair.key] == ("cat", "cat")


def test_classes_come_from_values_and_from_the_specs_own_filters(read: Read) -> None:
    catalog = read(
        "datasets:\n"
        "  a: {spec: photos, values: {label: [no, 007, 1.50, 2020-01-01]}}\n"
        "  b: {spec: 'cifake:c.zip[label=REAL]', values: {class: [dog, cat]}}\n"
        "  c: {spec: 'digits[label=8|3]'}\n"
        "encoders: {e: classical}\n"
        "comparisons:\n  a: {across: a, by: label}\n  b: {across: b, by: class}\n  c: {across: c, by: label}\n"
    )
    assert catalog.datasets["a"].values == {"label": ("no", "007", "1.50", "2020-01-01")}, "texts as written"
    assert catalog.datasets["b"].values == {"label": ("REAL",), "class": ("dog", "cat")}
    assert catalog.datasets["c"].values == {"label": ("3", "8")}
    assert len(catalog.comparisons["a"].pairs) == 6
    assert catalog.comparisons["b"].pairs == ("b.class-dog~b.class-cat@e",)
    assert catalog.comparisons["c"].pairs == ("c.3~c.8@e",)


def test_encoders_are_all_unless_named_and_come_one_after_the_other(read: Read) -> None:
    catalog = read(
        "datasets: {d: digits}\nencoders: {a: classical, clip: clip-vit-b-32, t: 'timm:resnet18/w/x.safetensors'}\n"
        "comparisons:\n  x: {across: 'd[label=1|2|3]', by: label}\n  y: {pairs: [[d, d]], encoders: [clip]}\n"
    )
    x = catalog.comparisons["x"]
    assert [key.split("@")[1] for key in x.pairs] == ["a"] * 3 + ["clip"] * 3 + ["t"] * 3
    assert x.encoders == ("a", "clip", "t")
    assert catalog.comparisons["y"].pairs == ("d~d@clip",)
    assert catalog.pairs["d~d@clip"].embeddings == ("d@clip",)
    assert catalog.embedding_keys() == ["d@a", "d@clip", "d@t"]
    assert catalog.path is not None
    assert catalog.encoders["t"] == f"timm:resnet18/{catalog.path.parent}/w/x.safetensors"


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("timm:resnet18/w/x.safetensors+bf16", "timm:resnet18/{here}/w/x.safetensors+bf16"),
        ("timm:resnet18//w/x.safetensors", "timm:resnet18//w/x.safetensors"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k+bf16", "open_clip:ViT-B-32/laion2b_s34b_b79k+bf16"),
        ("open_clip:hf-hub:owner/name", "open_clip:hf-hub:owner/name"),
        ("mini:x.safetensors", "mini:{here}/x.safetensors"),
        ("mini:/w/x.safetensors", "mini:/w/x.safetensors"),
        ("mini:w/x.pt+bf16", "mini:{here}/w/x.pt+bf16"),
        ("mini", "mini"),
        ("dinov2-s-14/w/x.safetensors", "dinov2-s-14/{here}/w/x.safetensors"),
        ("dinov2-s-14/w/x+bf16", "dinov2-s-14/{here}/w/x+bf16"),
        ("dinov2-s-14//w/a:b.pt", "dinov2-s-14//w/a:b.pt"),
        ("open_clip:hf-hub:owner/name.bin", "open_clip:hf-hub:owner/name.bin"),
    ],
)
def test_a_checkpoint_lies_where_the_catalogue_sees_it(read: Read, written: str, means: str) -> None:
    catalog = read(f"datasets: {{d: digits}}\nencoders: {{a: '{written}'}}\ncomparisons: {{x: {{pairs: [[d, d]]}}}}\n")
    assert catalog.path is not None
    assert catalog.encoders["a"] == means.format(here=catalog.path.parent)


def test_a_pair_of_several_comparisons_is_there_once(read: Read) -> None:
    catalog = read(
        f"{HEAD}comparisons:\n  x: {{across: d, by: label}}\n  y: {{pairs: [['d[label=3]', 'd[ label=8 ]']]}}\n"
        "  z: {pairs: [['d[label=3]', 'd[label=8]']], seed: 1}\n"
    )
    assert len(catalog.pairs) == 46
    assert catalog.pairs["d.3~d.8@e"].comparisons == ("x", "y")
    assert catalog.pairs["d.3~d.8@e"].seed == 0
    assert catalog.pairs["d.3~d.8@e.seed-1"].comparisons == ("z",)
    assert catalog.pairs["d.3~d.8@e.seed-1"].seed == 1
    assert list(catalog.comparisons) == ["x", "y", "z"]


def test_titles(compare: Read) -> None:
    assert compare("pairs: [[d, g]]").comparisons["x"].title == "x"
    given_both = compare("pairs: [[d, g]], title: Big, description: some words").comparisons["x"]
    assert (given_both.title, given_both.description) == ("Big", "some words")


@pytest.mark.parametrize(
    "text", ["datasets:", "datasets: {}\nencoders: {}\ncomparisons: {}", "encoders: {e: classical}"]
)
def test_a_section_may_be_empty(read: Read, text: str) -> None:
    catalog = read(text)
    assert not catalog.pairs
    assert not catalog.embedding_keys()


@settings(deadline=None)
@given(
    datasets=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    aliases=st.lists(NAMES, min_size=1, max_size=3, unique=True),
    column=TEXTS.filter(lambda text: text not in {"limit", "seed", "group_by", "image_column"}),
    values=st.lists(TEXTS, min_size=2, max_size=5, unique=True),
    seed=st.integers(0, 999_999_999),
)
def test_any_names_and_values_give_unique_valid_keys(
    datasets: list[str], aliases: list[str], column: str, values: list[str], seed: int
) -> None:
    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    listed = ", ".join(map(text, values))
    lines = ["datasets:", *(f"  {text(n)}: {{spec: x/y, values: {{{text(column)}: [{listed}]}}}}" for n in datasets)]
    lines += ["encoders:", *(f"  {text(alias)}: classical" for alias in aliases), "comparisons:"]
    lines += [f"  c{n}: {{across: {text(name)}, by: {text(column)}, seed: {seed}}}" for n, name in enumerate(datasets)]
    side = f"{datasets[0]}[{quoted(column)}={quoted(values[0])},limit=3]"
    lines += [f"  listed: {{pairs: [[{text(side)}, {text(datasets[-1])}]]}}"]
    catalog = parse("\n".join(lines), PACKAGED)
    across = len(datasets) * len(aliases) * len(values) * (len(values) - 1) // 2
    assert len(catalog.pairs) == across + len(aliases)
    for key, pair in catalog.pairs.items():
        assert KEY.fullmatch(key)
        assert len(key) <= LONGEST_KEY
        assert key.count("~") == key.count("@") == 1
        assert pair.reference.dataset in datasets
        assert pair.encoder in aliases
    spelled = {(p.reference.text, p.candidate.text, p.encoder, p.seed) for p in catalog.pairs.values()}
    assert len(spelled) == len(catalog.pairs)


def test_a_key_that_stood_for_two_pairs_would_be_told(compare: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsim_pipeline.catalog.comparisons.pair_key", lambda *_: "same")
    with pytest.raises(CatalogError, match="the pair same is there twice"):
        compare("pairs: [[d, g], [g, d]]")
    with pytest.raises(CatalogError, match="stands for two pairs"):
        compare("pairs: [[d, g]]}\n  y: {pairs: [[g, d]]")
