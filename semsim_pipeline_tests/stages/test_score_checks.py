"""What is looked at in a score, on what the stages wrote: whether it moved, is too low, or needs a caution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.stages.checks import pairs
from semsim_pipeline.stages.checks.pairs import previous_score
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.score_store import current_score, make_current
from semsim_pipeline.stages.scores import score_pair
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures
from semsim_pipeline_tests.stages.conftest import PAIR, SETUP, checks, recatalogue, spoil


@pytest.fixture
def scored(workspace: Workspace) -> Workspace:
    changed = recatalogue(workspace, SETUP)
    for dataset in ("left", "alone"):
        refresh_manifest(changed, dataset)
        embed_dataset(changed, f"{dataset}@classical")
    score_pair(changed, PAIR)
    return changed


def moved(workspace: Workspace, shift: float, **inputs: str | int | None) -> None:
    """Another score becomes the valid one: as the one before, `shift` higher, its inputs changed."""
    from semsim_pipeline.comparison.score_store import keep_result

    stored = current_score(workspace.home, PAIR)
    assert stored is not None
    found = stored.comparison.similarity
    assert found is not None
    assert found.value is not None
    low, high = found.interval
    other = replace(
        stored.comparison,
        similarity=replace(
            found, raw=found.raw + shift, value=found.value + shift, interval=(low + shift, high + shift)
        ),
    )
    make_current(workspace.home, PAIR, keep_result(workspace.home, {**stored.inputs, **inputs}, other, 0.1))


def allowed(workspace: Workspace) -> float:
    stored = current_score(workspace.home, PAIR)
    assert stored is not None
    assert stored.comparison.similarity is not None
    low, high = stored.comparison.similarity.interval
    return float(np.hypot((high - low) / 2, (high - low) / 2))


def test_drift_is_a_move_beyond_both_intervals(scored: Workspace) -> None:
    steady = checks(scored, "pair_metrics", PAIR)["score_steady"]
    assert steady.passed
    assert "first score" in steady.message
    most = allowed(scored)
    moved(scored, -0.99 * most, reference="one image more")
    assert checks(scored, "pair_metrics", PAIR)["score_steady"].passed
    moved(scored, +1.01 * most, reference="two images more")
    found = checks(scored, "pair_metrics", PAIR)["score_steady"]
    assert not found.passed
    assert not found.blocks
    assert found.numbers["moved"] == pytest.approx(1.01 * most)
    assert found.numbers["allowed"] == pytest.approx(most)


@pytest.mark.parametrize("name", ["encoder", "background", "seed", "metric code"])
def test_scores_on_other_scales_are_not_compared(scored: Workspace, name: str) -> None:
    moved(scored, 2 * allowed(scored), **{name: "other"})
    found = checks(scored, "pair_metrics", PAIR)["score_steady"]
    assert found.passed
    assert f"{name} changed" in found.message


def test_the_score_before_is_by_order_not_by_the_clock(scored: Workspace) -> None:
    first = current_score(scored.home, PAIR)
    moved(scored, 0.01, reference="later, by a clock that was set back")
    second = current_score(scored.home, PAIR)
    assert first is not None
    assert second is not None
    make_current(scored.home, PAIR, replace(second, scored_at="1999-01-01T00:00:00+00:00"))
    assert previous_score(scored.home, PAIR) == first
    make_current(scored.home, PAIR, first)  # the old images are back
    assert previous_score(scored.home, PAIR) == second


def test_a_score_is_looked_at_once(scored: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checks(scored, "pair_metrics", PAIR)
    monkeypatch.setattr(pairs, "current_score", lambda *_: pytest.fail("the score was read"))
    assert checks(scored, "pair_metrics", PAIR) == first
    for text in ("{", '{"of": 1}', "[]"):
        (scored.home / "pipeline" / "checks" / f"{PAIR}.json").write_text(text, encoding="utf-8")
        with pytest.raises(pytest.fail.Exception):
            checks(scored, "pair_metrics", PAIR)


def test_thresholds_of_all_comparisons_that_name_the_pair(scored: Workspace) -> None:
    assert checks(scored, "pair_metrics", PAIR)["above_threshold"].message.startswith("No comparison sets")
    value = current_score(scored.home, PAIR).comparison.value  # type: ignore[union-attr]
    assert value is not None
    text = SETUP.replace("failed_images: 0.02", f"similarity: {value - 0.05:.4f}")
    assert checks(recatalogue(scored, text), "pair_metrics", PAIR)["above_threshold"].passed
    text = text.replace("failed_images: 0.1", f"similarity: {value + 0.05:.4f}")
    found = checks(recatalogue(scored, text), "pair_metrics", PAIR)["above_threshold"]
    assert not found.passed
    assert found.facts.severity == "ERROR"
    assert found.message.endswith("of patient.")


def test_the_strictest_comparison_says_what_is_too_much(scored: Workspace) -> None:
    spoil(scored.home / "alone", 1)  # 1 of 25: 4 %
    refresh_manifest(scored, "alone")
    embed_dataset(scored, "alone@classical")
    score_pair(scored, PAIR)
    found = checks(scored, "pair_metrics", PAIR)["images_scored"]
    assert not found.passed
    assert not found.blocks
    assert "4.0% of the candidate; up to 2.0% may" in found.message


def test_cautions_of_a_score_are_its_checks(scored: Workspace) -> None:
    for path in sorted((scored.home / "alone").iterdir())[:2]:
        path.with_name(f"again-{path.name}").write_bytes((scored.home / "left/blobs/000.png").read_bytes())
    write_pictures(scored.home / "alone", 1, seed=50, name="late.png")
    for path in (scored.home / "alone").iterdir():
        Image.open(path).resize((48, 48)).save(path) if "again" not in path.name else None
    refresh_manifest(scored, "alone")
    embed_dataset(scored, "alone@classical")
    score_pair(scored, PAIR)
    found = checks(scored, "pair_metrics", PAIR)
    assert not found["no_confound"].passed
    assert "auc width" in found["no_confound"].numbers
    assert found["no_duplicates_across"].numbers == {"exact duplicates": 2.0}
