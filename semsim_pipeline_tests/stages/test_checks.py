"""Every gate passing and failing, on what the stages themselves wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.errors import EmptyDatasetError, SemsimError, StoreError, UnknownNameError
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.checks import CHECKS, check_stage, counts
from semsim_pipeline.stages.checks.standing import check_comparison
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.outcome import Failure, Outcome
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.state import read_embedding
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store import audit as audits
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.writer import write_part
from semsim_pipeline_tests.pictures import write_pictures
from semsim_pipeline_tests.stages.conftest import PAIR, SETUP, N, checks, failing, recatalogue, spoil


def test_every_gate_is_described_once() -> None:
    assert len({(facts.stage, facts.name) for facts in CHECKS}) == len(CHECKS)
    for facts in CHECKS:
        assert facts.description.endswith(".")
        assert not facts.blocking or facts.severity == "ERROR"  # Dagster blocks on errors only


def test_a_sound_dataset_passes_everything(workspace: Workspace) -> None:
    refresh_manifest(workspace, "left")
    embed_dataset(workspace, "left@classical")
    for stage, partition in (("dataset_manifest", "left"), ("embeddings", "left@classical")):
        found = checks(workspace, stage, partition)  # type: ignore[arg-type]
        assert list(found) == [facts.name for facts in CHECKS if facts.stage == stage]
        assert not [each.line for each in found.values() if not each.passed]
        assert all(each.message.endswith(".") and each.version for each in found.values())


def test_what_was_never_made_is_said(workspace: Workspace) -> None:
    for stage, partition in (("dataset_manifest", "left"), ("embeddings", "left@classical"), ("pair_metrics", PAIR)):
        with pytest.raises(StoreError, match="semsim rescore"):
            check_stage(workspace, stage, partition)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError):
        check_stage(workspace, "dataset_manifest", "nobody")
    assert check_stage(workspace, "pair_plots", PAIR) == []


def test_the_most_patient_comparison_decides_what_blocks(workspace: Workspace) -> None:
    changed = recatalogue(workspace, SETUP)
    spoil(workspace.home / "alone", 2)  # 2 of 26: 7.7 %
    refresh_manifest(changed, "alone")
    embed_dataset(changed, "alone@classical")
    assert failing(changed, "dataset_manifest", "alone") == set()
    spoil(workspace.home / "alone", 3)  # 3 of 27: 11.1 %
    refresh_manifest(changed, "alone")
    embed_dataset(changed, "alone@classical")
    assert failing(changed, "dataset_manifest", "alone") == {"images_readable"}
    assert failing(changed, "embeddings", "alone@classical") == {"images_embedded"}
    found = checks(changed, "dataset_manifest", "alone")["images_readable"]
    assert found.blocks
    assert found.message.startswith("3 of 27 images (11.1%) cannot be opened; up to 10.0% may")


def test_images_that_open_and_do_not_decode_count_too(workspace: Workspace) -> None:
    for path in sorted((workspace.home / "alone").iterdir())[:4]:
        Image.new("RGB", (400, 400), (9, 200, 30)).save(path)
        path.write_bytes(path.read_bytes()[:500])
    refresh_manifest(workspace, "alone")
    embed_dataset(workspace, "alone@classical")
    assert failing(workspace, "dataset_manifest", "alone") == set()
    found = checks(workspace, "embeddings", "alone@classical")
    assert {name for name, each in found.items() if not each.passed} == {"images_embedded"}
    assert found["all_accounted"].numbers == {"seen": N, "embedded": N - 4, "failed": 4, "missing": 0}


def test_a_dataset_that_lost_most_of_its_images(workspace: Workspace) -> None:
    refresh_manifest(workspace, "alone")
    for path in sorted((workspace.home / "alone").iterdir())[: N // 2 + 1]:
        path.unlink()
    refresh_manifest(workspace, "alone")
    for _ in range(2):  # it does not become right by looking twice
        refresh_manifest(workspace, "alone")
        assert failing(workspace, "dataset_manifest", "alone") == {"images_kept"}
    write_pictures(workspace.home / "alone", N, seed=7)
    refresh_manifest(workspace, "alone")
    assert failing(workspace, "dataset_manifest", "alone") == set()


def test_a_class_that_was_removed_is_named(workspace: Workspace) -> None:
    shutil.rmtree(workspace.home / "left" / "blobs")
    refresh_manifest(workspace, "left")
    found = checks(workspace, "dataset_manifest", "left")["classes_present"]
    assert not found.passed
    assert not found.blocks
    assert "no image of label=blobs" in found.message


def test_nothing_that_opens_is_empty(workspace: Workspace) -> None:
    for path in (workspace.home / "alone").iterdir():
        path.write_bytes(b"no image")
    refresh_manifest(workspace, "alone")
    assert failing(workspace, "dataset_manifest", "alone") == {"not_empty", "images_readable"}


@pytest.fixture
def embedded(workspace: Workspace) -> tuple[Workspace, EmbeddingSet]:
    refresh_manifest(workspace, "alone")
    embed_dataset(workspace, "alone@classical")
    state = read_embedding(workspace.home, "alone@classical")
    assert state is not None
    return workspace, EmbeddingSet.at(workspace.home, state.key)


def rewrite(embeddings: EmbeddingSet, change: Callable[[np.ndarray], None]) -> None:  # type: ignore[type-arg]
    """The set's one part with other numbers, under the same name."""
    import polars as pl

    [part] = embeddings.parts()
    path = embeddings.folder / part.name
    frame = pl.read_parquet(path)
    rows = frame["embedding"].to_numpy().copy()
    change(rows)
    write_part(path, embeddings.key, frame["image_id"].to_list(), rows, planned=len(rows))
    listed = json.loads((embeddings.folder / "parts.json").read_text())
    listed["parts"][0]["bytes"] = path.stat().st_size
    (embeddings.folder / "parts.json").write_text(json.dumps(listed))


def _nan(rows: np.ndarray) -> None:  # type: ignore[type-arg]
    rows[3, 5] = np.nan


def _zero(rows: np.ndarray) -> None:  # type: ignore[type-arg]
    rows[4] = 0


@pytest.mark.parametrize(("change", "named"), [(_nan, "1 with NaN"), (_zero, "1 all zeros")])
def test_numbers_that_cannot_be_scored_block(
    embedded: tuple[Workspace, EmbeddingSet],
    change: Callable[[np.ndarray], None],
    named: str,  # type: ignore[type-arg]
) -> None:
    workspace, embeddings = embedded
    rewrite(embeddings, change)
    found = checks(workspace, "embeddings", "alone@classical")
    assert {name for name, each in found.items() if not each.passed} == {"vectors_sound"}
    assert named in found["vectors_sound"].message
    # The set is shared: another dataset of this encoder is none the worse.
    refresh_manifest(workspace, "right")
    embed_dataset(workspace, "right@classical")
    assert failing(workspace, "embeddings", "right@classical") == set()


def test_a_part_that_cannot_be_read_blocks_and_is_mended_by_embedding_again(
    embedded: tuple[Workspace, EmbeddingSet],
) -> None:
    workspace, embeddings = embedded
    [part] = embeddings.parts()
    path = embeddings.folder / part.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    found = checks(workspace, "embeddings", "alone@classical")
    assert not found["parts_whole"].passed
    assert part.name in found["parts_whole"].message
    assert embed_dataset(workspace, "alone@classical").numbers["new_images"] == N
    assert failing(workspace, "embeddings", "alone@classical") == set()


def test_images_of_which_nothing_is_known_are_counted(embedded: tuple[Workspace, EmbeddingSet]) -> None:
    workspace, embeddings = embedded
    write_pictures(workspace.home / "alone", 1, seed=50, name="late.png")
    embed_dataset(workspace, "alone@classical")  # on the manifest of before
    assert failing(workspace, "embeddings", "alone@classical") == set()
    [part] = embeddings.parts()
    (embeddings.folder / "parts.json").write_text('{"schema": 1, "parts": []}')
    assert {"all_accounted", "parts_whole"} <= failing(workspace, "embeddings", "alone@classical")
    assert (embeddings.folder / part.name).is_file()


def test_a_hit_reads_no_part_and_counts_nothing(
    embedded: tuple[Workspace, EmbeddingSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = embedded
    first = checks(workspace, "embeddings", "alone@classical")
    monkeypatch.setattr(audits, "inspect_part", lambda *_: pytest.fail("a part was read"))
    monkeypatch.setattr(counts, "_counted", lambda *_: pytest.fail("counted again"))
    assert checks(workspace, "embeddings", "alone@classical") == first
    counts.counts_file(workspace.home, "alone@classical").write_text("{", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception):
        checks(workspace, "embeddings", "alone@classical")


def everything(workspace: Workspace) -> list[Outcome | Failure]:
    return list(bring_up_to_date(workspace, plan(workspace)))


def test_the_bulk_path_is_stopped_by_what_blocks_and_by_nothing_else(workspace: Workspace) -> None:
    everything(workspace)
    key = "left~alone@classical"
    before = current_score(workspace.home, key)
    spoil(workspace.home / "alone", 8)
    found = everything(workspace)
    [manifest] = [each for each in found if (each.stage, each.partition) == ("dataset_manifest", "alone")]
    assert isinstance(manifest, Outcome)
    assert [check.facts.name for check in manifest.checks if check.blocks] == ["images_readable"]
    failed = {(each.stage, each.partition): each.reason for each in found if isinstance(each, Failure)}
    assert set(failed) == {("embeddings", "alone@classical"), ("pair_metrics", key), ("pair_plots", key)}
    said = "not done, because the check images_readable of dataset_manifest alone failed"
    assert set(failed.values()) == {said}
    assert current_score(workspace.home, key) == before  # nothing that was computed is lost
    standing = {each.partition: each.checks[0] for each in found if each.stage == "report"}
    assert {name for name, check in standing.items() if not check.passed} == {"whole"}
    assert [row["pair"] for row in standing["whole"].rows] == [key]
    assert "8 of 32 images (25.0%) cannot be opened" in str(standing["whole"].rows[0]["why"])
    for path in (workspace.home / "alone").glob("bad*"):
        path.unlink()
    assert not [each for each in everything(workspace) if isinstance(each, Failure)]


def test_the_standing_check_by_itself(workspace: Workspace) -> None:
    [found] = check_comparison(workspace, "whole")
    assert (found.passed, found.numbers["missing"]) == (False, 3)
    everything(workspace)
    [found] = check_comparison(workspace, "whole")
    assert (found.passed, found.message) == (True, "All 3 pairs are current.")
    shutil.rmtree(workspace.home / "alone")
    write_pictures(workspace.home / "right" / "blobs", 1, seed=99, kind="blobs", name="new.png")
    [found] = check_comparison(workspace, "whole")
    assert [(row["pair"], row["state"]) for row in found.rows] == [
        ("left~alone@classical", "failed"),
        ("left~right@classical", "stale"),
    ]
    assert "Of 3 pairs 1 failed, 1 stale. left~alone@classical: alone: " in found.message
    [found] = check_comparison(workspace, "inside")
    assert found.passed


def test_an_emptied_dataset_keeps_its_scores(workspace: Workspace) -> None:
    everything(workspace)
    key = "left~alone@classical"
    before = current_score(workspace.home, key)
    for path in (workspace.home / "alone").iterdir():
        path.unlink()
    found = everything(workspace)
    failed = [each for each in found if isinstance(each, Failure)]
    stopped = [check for each in found for check in each.checks if check.blocks]
    assert stopped or isinstance(failed[0].error, EmptyDatasetError | SemsimError)
    assert {each.partition for each in failed} <= {"alone", "alone@classical", key}
    assert current_score(workspace.home, key) == before
