from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from semsim_pipeline.comparison import encoder_agreement
from semsim_pipeline.comparison.encoder_agreement import agreements
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.comparison.selected import SelectedView, select_all
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.metrics.agreement import encoder_agreement as measured
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.verdict import Verdict
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import read
from semsim_pipeline_tests.comparison.test_json_contract import BACKGROUND, strict
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView

ONE = ExtractOptions(workers=1)
N = 80


class Shuffled(FakeEncoder):
    """Other numbers of the same pixels: it sees the second half of a row."""

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.reshape(len(batch), -1)[:, 100 : 100 + self.dim].astype(np.float32)


def embedded(home: Path, encoder: FakeEncoder, location: str, bad: frozenset[int] = frozenset()) -> SelectedView:
    images = FakeView(source=FakeSource(n=N, location=location, bad=bad))
    return select_all("view", images.source, embed_view(images, encoder, home, ONE), home)


def compared(encoder: str, verdict: str) -> Comparison:
    rows = np.random.default_rng(0).normal(size=(2, 40, 6))
    result = score_arrays(rows[0], rows[1], background=BACKGROUND, metrics=["kid"])
    return replace(result, encoder=encoder, encoder_fingerprint=encoder, verdict=Verdict(text=verdict))


@pytest.fixture
def views(tmp_path: Path) -> list[tuple[SelectedView, SelectedView]]:
    encoders = (FakeEncoder(), Shuffled(name="other"))
    return [(embedded(tmp_path, each, "a"), embedded(tmp_path, each, "b", frozenset({5}))) for each in encoders]


def test_rows_are_paired_by_image_whatever_their_order(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]]
) -> None:
    turned = replace(views[1][0], rows=views[1][0].rows.reverse())
    pair = [compared("one", "related"), compared("two", "related")]
    found = agreements(pair, [views[0], (turned, views[1][1])], ["classical", "timm"], tmp_path, 0)
    ids = views[0][0].rows["image_id"].sort()
    sets = [EmbeddedSet("s", read(EmbeddingSet.at(tmp_path, each[0].key), ids)) for each in views]
    wanted = measured(sets[0], sets[1])
    assert found[0][0].reference.found is not None
    assert found[0][0].reference.found.linear_cka == pytest.approx(wanted.linear_cka, rel=1e-9)
    assert found[0][0].reference.found.mutual_knn == wanted.mutual_knn
    assert (found[0][0].reference.of, found[0][0].candidate.of) == (N, N - 1)
    assert (found[0][0].other, found[1][0].other) == ("two", "one")


def test_images_of_one_encoder_only_and_repeats_are_left_out(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]]
) -> None:
    some = replace(views[1][0], rows=pl.concat([views[1][0].rows[:50], views[1][0].rows[:20]]))
    pair = [compared("one", "related"), compared("two", "related")]
    found = agreements(pair, [views[0], (some, views[1][1])], ["classical", "timm"], tmp_path, 0)
    assert found[0][0].reference.of == 50


def test_many_images_are_sampled_and_the_count_is_stated(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_agreement, "MOST_IMAGES", 30)
    pair = [compared("one", "related"), compared("two", "related")]
    [[one], _] = agreements(pair, views, ["classical", "timm"], tmp_path, 0)
    assert one.reference.found is not None
    assert (one.reference.found.images, one.reference.of) == (30, N)
    assert agreements(pair, views, ["classical", "timm"], tmp_path, 0)[0] == (one,)
    assert agreements(pair, views, ["classical", "timm"], tmp_path, 1)[0] != (one,)


def test_few_images_are_a_reason_and_the_json_holds_it(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]]
) -> None:
    few = [tuple(replace(side, rows=side.rows[:6]) for side in each) for each in views]
    pair = [compared("one", "related"), compared("two", "related")]
    [some, _] = agreements(pair, few, ["classical", "timm"], tmp_path, 0)  # type: ignore[arg-type]
    found = strict(json.dumps(replace(pair[0], agreement=some).to_json()))
    assert isinstance(found, dict)
    assert found["agreement"][0]["encoder"] == "two"
    assert "at least 12 distinct images" in found["agreement"][0]["reference"]["reason"]
    assert "not computed" in found["agreement"][0]["meaning"]


def said(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]], verdicts: tuple[str, str], *families: str
) -> str:
    pair = [compared("one", verdicts[0]), compared("two", verdicts[1])]
    return agreements(pair, views, families, tmp_path, 0)[0][0].meaning


def test_the_sentence_claims_only_what_was_measured(
    tmp_path: Path, views: list[tuple[SelectedView, SelectedView]]
) -> None:
    # These two see different pixels of noise: no more neighbours in common than chance gives.
    chance = said(tmp_path, views, ("very similar", "different"), "open_clip", "timm")
    assert "see different things" in chance
    assert "style" not in chance
    alike = [views[0], tuple(replace(side, key=views[0][0].key) for side in views[0])]
    same = said(tmp_path, alike, ("related", "related"), "classical", "timm")  # type: ignore[arg-type]
    assert "100%" in same
    assert "both say 'related'" in same
    style = said(tmp_path, alike, ("very similar", "different"), "open_clip", "timm")  # type: ignore[arg-type]
    assert "rather style or detail than what is shown" in style
    for families in (("timm", "classical"), ("open_clip", "open_clip"), ("timm", "open_clip")):
        plain = said(tmp_path, alike, ("very similar", "different"), *families)  # type: ignore[arg-type]
        assert "two sees and one hardly does" in plain
        assert "style" not in plain
    open_ = said(tmp_path, alike, ("unresolved at this n", "different"), "open_clip", "timm")  # type: ignore[arg-type]
    assert "no verdicts" in open_


def test_one_encoder_twice_is_no_agreement(tmp_path: Path, views: list[tuple[SelectedView, SelectedView]]) -> None:
    one = compared("one", "related")
    assert agreements([one, one], [views[0], views[0]], ["classical"] * 2, tmp_path, 0) == [(), ()]
