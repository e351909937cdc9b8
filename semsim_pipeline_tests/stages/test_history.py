"""What is remembered of a pair: every score with its version, inputs and time, in order, whatever the clock does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from semsim_pipeline.comparison import score_store as results
from semsim_pipeline.comparison.score_store import result_file
from semsim_pipeline.errors import StoreError, UnknownNameError
from semsim_pipeline.plots.history import HistoryPoint, draw_history
from semsim_pipeline.stages import score_store
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.history import GONE, as_json, history_of, picture_of
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.score_store import events_of, make_current, pair_file
from semsim_pipeline.stages.scores import score_pair
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures

KEY = "left.blobs~right.blobs@classical"


def run(workspace: Workspace) -> None:
    """One pair, without its pictures and pages."""
    for dataset in ("left", "right"):
        refresh_manifest(workspace, dataset)
        embed_dataset(workspace, f"{dataset}@classical")
    score_pair(workspace, KEY)


def test_each_score_with_its_time_inputs_and_what_changed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)
    run(workspace)
    assert len(history_of(workspace.home, KEY)) == 1, "a hit is no new score"
    extra = workspace.home / "right" / "blobs" / "new.png"
    write_pictures(extra.parent, 1, seed=99, kind="blobs", name=extra.name)
    run(workspace)
    monkeypatch.setattr(results, "SCORE_VERSION", results.SCORE_VERSION + 1)
    run(workspace)
    past = history_of(workspace.home, KEY)
    assert [[change.name for change in each.changed] for each in past] == [[], ["candidate"], ["metric code"]]
    assert [each.n for each in past] == [(24, 24), (24, 25), (24, 25)]
    assert past[1].changed[0].text.startswith("candidate: right[label=blobs] (24 images, ")
    assert all(each.event.at.endswith("+00:00") and each.stored is not None for each in past)
    values = [each.value for each in past]
    assert values[0] != values[1] == values[2]
    found = as_json(KEY, past)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    entries = found["history"]
    assert isinstance(entries, list)
    assert isinstance(entries[1], dict)
    assert entries[1]["changed"] == [
        {"input": "candidate", "from": past[1].changed[0].before, "to": past[1].changed[0].after}
    ]
    assert picture_of(KEY, past).png.startswith(b"\x89PNG")


def test_an_old_score_that_is_valid_again_is_a_new_entry(workspace: Workspace) -> None:
    run(workspace)
    extra = workspace.home / "right" / "blobs" / "new.png"
    write_pictures(extra.parent, 1, seed=99, kind="blobs", name=extra.name)
    run(workspace)
    extra.unlink()
    run(workspace)
    events = events_of(workspace.home, KEY)
    assert [each.order for each in events] == [1, 2, 3]
    assert events[0].version == events[2].version != events[1].version
    assert events[2].scored_at == events[0].scored_at


def test_a_clock_that_goes_backwards_neither_reorders_nor_loses(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(datetime(2030, 1, 1, tzinfo=UTC) - timedelta(days=number) for number in range(100))

    class Backwards(datetime):
        @classmethod
        def now(cls, tz=None):
            return next(moments)

    monkeypatch.setattr(score_store, "datetime", Backwards)
    for number in range(3):
        monkeypatch.setattr(results, "SCORE_VERSION", 100 + number)
        run(workspace)
    past = history_of(workspace.home, KEY)
    assert [each.event.order for each in past] == [1, 2, 3]
    assert [each.event.at for each in past] == sorted((each.event.at for each in past), reverse=True)
    codes = [each.stored.inputs["metric code"] for each in past if each.stored is not None]
    assert codes == [100, 101, 102]
    assert [each.changed[0].after for each in past[1:]] == [101, 102]
    assert picture_of(KEY, past).alt.startswith(f"{KEY}: 3 scores")


def test_what_an_older_version_wrote_is_read_in_the_order_of_the_file(workspace: Workspace) -> None:
    run(workspace)
    path = pair_file(workspace.home, KEY)
    pointer = json.loads(path.read_text(encoding="utf-8"))
    old = {"version": pointer["current"], "scored_at": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps({"current": pointer["current"], "history": [old, old]}), encoding="utf-8")
    assert [(each.order, each.at) for each in events_of(workspace.home, KEY)] == [
        (1, "2026-01-01T00:00:00+00:00"),
        (2, "2026-01-01T00:00:00+00:00"),
    ]


def test_a_result_that_has_gone_leaves_its_line(workspace: Workspace) -> None:
    run(workspace)
    result_file(workspace.home, events_of(workspace.home, KEY)[0].version).unlink()
    [only] = history_of(workspace.home, KEY)
    assert (only.verdict, only.value, only.n, only.interval) == (GONE, None, None, None)
    assert as_json(KEY, [only])["history"][0]["status"] == "gone"
    assert picture_of(KEY, [only]).caption.startswith("1 score, none with a value.")


def test_a_damaged_pointer_is_kept_aside_and_begun_anew(workspace: Workspace) -> None:
    run(workspace)
    path = pair_file(workspace.home, KEY)
    path.write_text('{"current": "ab', encoding="utf-8")
    assert not score_pair(workspace, KEY).computed
    assert [each.order for each in events_of(workspace.home, KEY)] == [1]
    assert path.with_name(f"{path.name}.damaged").read_text(encoding="utf-8") == '{"current": "ab'


def test_nothing_points_to_a_result_that_was_removed_meanwhile(workspace: Workspace) -> None:
    run(workspace)
    stored = score_store.current_score(workspace.home, KEY)
    assert stored is not None
    result_file(workspace.home, stored.version).unlink()
    with pytest.raises(StoreError, match="Run again"):
        make_current(workspace.home, "left~other@classical", stored)
    assert not pair_file(workspace.home, "left~other@classical").exists()


def test_unknown_and_never_scored(workspace: Workspace) -> None:
    with pytest.raises(StoreError, match="never scored: run `semsim rescore`"):
        history_of(workspace.home, KEY)
    with pytest.raises(UnknownNameError, match=f"Did you mean '{KEY}'"):
        history_of(workspace.home, "left.blobs~right.blob@classical")


def test_a_removed_pair_keeps_its_history_even_beside_a_broken_catalogue(workspace: Workspace) -> None:
    run(workspace)
    (workspace.home / "catalog.yaml").write_text("datasets: [", encoding="utf-8")
    assert len(history_of(workspace.home, KEY)) == 1
    with pytest.raises(UnknownNameError, match="Did you mean"):
        history_of(workspace.home, KEY + "x")


def test_the_picture_has_the_band_and_a_mark_for_each_input_that_changed() -> None:
    from io import BytesIO

    import numpy as np
    from PIL import Image

    def colours(*changed: str, interval: tuple[float, float] | None = (0.8, 0.9)) -> set[tuple[int, ...]]:
        points = [
            HistoryPoint(order=n, at=f"2026-01-0{n}T00:00:00+00:00", value=0.85, interval=interval, changed=what)
            for n, what in ((1, ()), (2, changed))
        ]
        pixels = np.asarray(Image.open(BytesIO(draw_history("a~b@c", points).png)).convert("RGB"))
        return {tuple(int(part) for part in row) for row in np.unique(pixels.reshape(-1, 3), axis=0)}

    blue, vermilion = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    assert {blue, vermilion} & colours() == set()
    assert {blue, vermilion} & colours("reference") == {blue}
    assert {blue, vermilion} <= colours("reference", "candidate", "something new")
    assert len(colours()) > len(colours(interval=None)), "the band"
