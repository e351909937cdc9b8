from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import semsim_pipeline as semsim
import semsim_pipeline.comparison.run  # a submodule must not hide a public function
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.run import CompareOptions, compare_pairs, compare_views, stream_pairs
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.encoders.classical import ClassicalEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, WrongCallError
from semsim_pipeline.extract import shard
from semsim_pipeline.extract.records import Extraction, ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.metrics.multiplicity import benjamini_hochberg, holm
from semsim_pipeline.store import reader
from semsim_pipeline_tests.pictures import write_pictures

N = 30
FEW = ("kid", "mean_cosine")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, home: Path) -> dict[str, str]:
    base = tmp_path_factory.mktemp("sets")
    return {
        "a": str(write_pictures(base / "a", N, seed=1)),
        "b": str(write_pictures(base / "b", N, seed=2)),
        "c": str(write_pictures(base / "c", N, seed=3, kind="blobs")),
    }


def plain(results: list[Comparison]) -> list[object]:
    return [result.to_json() for result in results]


def without_family(results: list[Comparison]) -> list[object]:
    return plain([dataclasses.replace(result, adjusted_p=None) for result in results])


def test_many_pairs_equal_separate_comparisons(sets: dict[str, str]) -> None:
    pairs = [(sets["a"], sets["b"]), (sets["a"], sets["c"]), (sets["c"], sets["b"]), (sets["b"], sets["b"])]
    together = list(compare_pairs(pairs, "classical"))
    alone = [compare_views(*pair, ("classical",))[0] for pair in pairs]
    assert without_family(together) == without_family(alone)
    p_values = [found.similarity.p_value for found in together if found.similarity is not None]
    assert len(p_values) == 4
    assert [found.family.benjamini_hochberg for found in together if found.family] == benjamini_hochberg(p_values)
    assert [found.family.holm for found in together if found.family] == holm(p_values)
    assert {found.family.tests for found in together if found.family} == {4}
    streamed = list(stream_pairs(pairs, "classical"))
    assert plain(streamed) == plain(alone)  # raw, as every pair alone


def test_each_part_is_read_once_for_all_pairs(sets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    specs = list(sets.values())
    for spec in specs:
        semsim.embed(spec, encoder="classical")
    read: Counter[str] = Counter()
    real = reader.row_groups

    def counting(path: Path, dim: int) -> object:
        read[path.name] += 1
        return real(path, dim)

    monkeypatch.setattr(reader, "row_groups", counting)
    pairs = [(one, other) for one in specs for other in specs]
    options = CompareOptions(metrics=("mean_cosine",))
    assert len(list(compare_pairs(pairs, "classical", options))) == 9
    assert set(read.values()) == {1}


def test_an_unchanged_comparison_embeds_nothing_and_loads_no_encoder(
    sets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = CompareOptions(metrics=FEW)
    before = plain(compare_views(sets["a"], sets["c"], ("classical",), options))

    def refuse(_self: ClassicalEncoder) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(ClassicalEncoder, "load", refuse)
    monkeypatch.setattr(shard, "_loaded", {})
    assert plain(compare_views(sets["a"], sets["c"], ("classical",), options)) == before
    assert semsim.embed(sets["a"], encoder="classical").new == 0


def test_a_view_embeds_its_rows_only_and_the_whole_set_reuses_them(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 20, seed=70)
    home = tmp_path / "home"
    part = semsim.embed(f"{folder}[limit=5]", home=home)
    assert (part.seen, part.embedded, part.new) == (5, 5, 5)
    whole = semsim.embed(folder, home=home)
    assert (whole.seen, whole.embedded, whole.new) == (20, 20, 15)
    assert semsim.embed(f"{folder}[limit=8]", home=home).new == 0
    # The same images under other names are known as well.
    shutil.copytree(folder, tmp_path / "copy")
    assert semsim.embed(tmp_path / "copy", home=home).new == 0


def test_the_same_images_in_two_folders_score_one(tmp_path: Path) -> None:
    one = write_pictures(tmp_path / "one", 60, seed=71)
    two = tmp_path / "two"
    two.mkdir()
    for number, path in enumerate(sorted(one.iterdir(), reverse=True)):
        shutil.copy(path, two / f"other-{number}.png")
    result = semsim.compare(one, two, encoder="classical", home=tmp_path / "home")
    assert result.overlap == 60
    assert result.value == 1
    assert result.verdict.text == "indistinguishable"
    assert result.metrics["exact_duplicates"].value == 60
    assert semsim.compare(one, one, home=tmp_path / "home").verdict.text == "indistinguishable"


def test_groups_reach_the_headline(tmp_path: Path) -> None:
    for number in range(22):
        write_pictures(tmp_path / "video" / "label" / f"clip-{number}", 3, seed=80 + number)
    other = write_pictures(tmp_path / "other", 40, seed=79)
    spec = str(tmp_path / "video")
    options = CompareOptions(metrics=FEW, home=tmp_path / "home")
    grouped = compare_views(f"{spec}[group_by=subfolder]", str(other), ("classical",), options)[0]
    loose = compare_views(spec, str(other), ("classical",), options)[0]
    assert grouped.similarity is not None
    assert loose.similarity is not None
    assert grouped.similarity.units == (22, 40)
    assert loose.similarity.units == (66, 40)
    assert grouped.reference.n == loose.reference.n == 66


def test_failed_images_are_counted(tmp_path: Path, sets: dict[str, str]) -> None:
    folder = write_pictures(tmp_path / "some", 22, seed=72)
    (folder / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    result = semsim.compare(sets["a"], folder, metrics=FEW)
    assert (result.candidate.n, result.candidate.failed, result.reference.failed) == (22, 1, 0)


def test_every_view_is_looked_at_before_the_first_is_embedded(tmp_path: Path, sets: dict[str, str]) -> None:
    (tmp_path / "empty").mkdir()
    for bad, error in (
        (str(tmp_path / "empty"), EmptyDatasetError),
        (f"{sets['b']}[group=nobody]", UnknownNameError),
    ):
        options = CompareOptions(home=tmp_path / "home")
        with pytest.raises(error):
            list(compare_pairs([(sets["a"], sets["c"]), (sets["a"], bad)], "classical", options))
        assert not (tmp_path / "home" / "embeddings").exists()


def test_pairs_are_checked_when_they_are_asked_for() -> None:
    with pytest.raises(WrongCallError):
        compare_pairs([("digits", "digtis")], "classical")  # not at the first result: nobody may ask for one


def test_limits(sets: dict[str, str]) -> None:
    def names(spec: str, **options: int) -> str:
        return compare_views(spec, spec, ("classical",), CompareOptions(metrics=("kid",), **options))[0].reference.name  # type: ignore[arg-type]

    a = sets["a"]
    assert names(a, limit=10, seed=3) == f"{a}[limit=10,seed=3]"
    assert names(f"{a}[limit=5]", limit=10, seed=3) == f"{a}[limit=5]"
    assert names(f"{a}[limit=20,seed=1]", limit=10, seed=3) == f"{a}[limit=10,seed=1]"


def test_the_public_functions_and_their_types(sets: dict[str, str], tmp_path: Path) -> None:
    assert semsim.__all__ == ["compare", "compare_encoders", "embed", "score"]
    assert all(callable(getattr(semsim, name)) for name in semsim.__all__)
    result = semsim.compare(Path(sets["a"]), sets["b"], limit=25, seed=1, metrics=["kid"])
    assert isinstance(result, Comparison)
    assert (result.reference.n, result.seed, result.status) == (25, 1, "ok")
    assert isinstance(semsim.embed(sets["a"]), Extraction)


def test_one_worker_or_two_give_the_same(tmp_path: Path, sets: dict[str, str]) -> None:
    # Beyond 1,024 images two processes get work; below, the second idles. The numbers are the same either way.
    view, encoder = open_view(sets["a"]), resolve_encoder("classical")
    found = []
    for workers in (1, 2):
        home = tmp_path / f"home-{workers}"
        embed_view(view, encoder, home, ExtractOptions(workers=workers))
        options = CompareOptions(home=home, metrics=FEW)
        found.append(plain(compare_views(sets["a"], sets["a"], ("classical",), options)))
    assert found[0] == found[1]


def test_score_takes_arrays_files_or_both(tmp_path: Path) -> None:
    import numpy as np

    random = np.random.default_rng(0)
    a, b = random.normal(size=(30, 5)), random.normal(size=(30, 5))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    arrays = semsim.score(a, b, bandwidth=0.5)
    files = semsim.score(tmp_path / "a.npy", str(tmp_path / "b.npy"), bandwidth=0.5)
    mixed = semsim.score(tmp_path / "a.npy", b, bandwidth=0.5)
    assert arrays.similarity == files.similarity == mixed.similarity
    assert arrays.metrics == files.metrics == mixed.metrics
    assert arrays.background is not None
    for reference in (a, tmp_path / "a.npy"):
        with pytest.raises(WrongCallError, match="not both"):
            semsim.score(reference, tmp_path / "b.npy", background=arrays.background, bandwidth=0.5)


def test_the_same_question_is_scored_once(sets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare_views(sets["a"], sets["c"], ("classical",))
    monkeypatch.setattr(semsim_pipeline.comparison.run, "assess", lambda *_, **__: pytest.fail("scored again"))
    monkeypatch.setattr(reader, "_read_part", lambda *_: pytest.fail("embeddings were read"))
    again = compare_views(sets["a"], sets["c"], ("classical",))
    assert plain(again) == plain(first)
    assert again[0].background is not None
    assert again[0].background.mean is not None  # whole, as if it had been scored now


@pytest.mark.parametrize(
    "options", [CompareOptions(seed=1), CompareOptions(metrics=FEW), CompareOptions(limit=20)], ids=str
)
def test_another_question_is_another_score(sets: dict[str, str], options: CompareOptions) -> None:
    [first] = compare_views(sets["a"], sets["c"], ("classical",))
    [other] = compare_views(sets["a"], sets["c"], ("classical",), options)
    assert plain([other]) != plain([first])
    assert plain(compare_views(sets["a"], sets["c"], ("classical",))) == plain([first])


def test_a_damaged_stored_score_is_computed_again(home: Path, sets: dict[str, str]) -> None:
    first = compare_views(sets["b"], sets["c"], ("classical",))
    for path in (home / "scores").rglob("*.json"):
        path.write_text("{", encoding="utf-8")
    assert plain(compare_views(sets["b"], sets["c"], ("classical",))) == plain(first)


def test_an_enlarged_copy_is_a_near_duplicate_found_by_its_hash(
    home: Path, sets: dict[str, str], tmp_path: Path
) -> None:
    from PIL import Image

    leaky = write_pictures(tmp_path / "leaky", N, seed=9, kind="blobs")
    for number, path in enumerate(sorted(Path(sets["a"]).iterdir())[:4]):
        Image.open(path).resize((48, 48), Image.Resampling.BICUBIC).save(leaky / f"leaked-{number}.webp", quality=95)
    shutil.copy(sorted(Path(sets["a"]).iterdir())[5], leaky / "copy.png")
    clean, found = (
        semsim.compare(sets["a"], spec, metrics=["leakage", "near_duplicates"]).metrics
        for spec in (sets["b"], str(leaky))
    )
    assert clean["near_duplicates"].value == 0
    assert found["near_duplicates"].value == found["near_duplicates"].detail["by_hash"] == 4
    assert found["exact_duplicates"].value == 1
