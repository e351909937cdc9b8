"""What `gc` removes, and above all what it does not."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import semsim_pipeline as semsim
from semsim_pipeline.comparison import score_store
from semsim_pipeline.errors import StoreError
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.gc import OURS, Garbage, InUse, collect
from semsim_pipeline.stages.history import history_of, scored_pairs
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.references import DAY, Policy
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.verify import verify_home
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.reader import read
from semsim_pipeline_tests.pictures import write_pictures

N = 8
CATALOG = """
datasets: {left: left, right: right}
encoders: {classical: classical}
comparisons: {whole: {pairs: [[left, right], [left, left]]}}
"""


@pytest.fixture(autouse=True)
def one_picture(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
    return


def small_home(home: Path) -> Workspace:
    home.mkdir(parents=True)
    for number, dataset in enumerate(("left", "right")):
        write_pictures(home / dataset, N, seed=number)
    (home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    return Workspace.open(home)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    return small_home(tmp_path / "home")


def run(workspace: Workspace) -> list[str]:
    """Bring everything up to date; what was computed."""
    found = list(bring_up_to_date(workspace, plan(workspace)))
    assert all(isinstance(each, Outcome) for each in found), found
    return [f"{each.stage} {each.partition}" for each in found if isinstance(each, Outcome) and each.computed]


def age(home: Path, days: float = 40) -> None:
    """Let everything that semsim wrote be old."""
    then = time.time() - days * DAY
    for name in OURS:
        for path in sorted((home / name).rglob("*"), reverse=True):
            os.utime(path, (then, then))
    for path in home.glob(".tmp-*"):
        os.utime(path, (then, then))


def gone(workspace: Workspace, *, delete: bool = True, **policy: float) -> list[Garbage]:
    found = list(collect(workspace.home, workspace.catalog, Policy(**policy), delete=delete))  # type: ignore[arg-type]
    assert not [each for each in found if isinstance(each, InUse)]
    return [each for each in found if isinstance(each, Garbage)]


def on_disk(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


STEPS = st.lists(
    st.sampled_from(["add left", "add right", "remove left", "remove right", "new code", "ad hoc", "less pairs"]),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS, seed=st.integers(0, 2**16))
def test_whatever_happened_all_pairs_are_fresh_afterwards(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int
) -> None:
    home = tmp_path_factory.mktemp("gc") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(home))
        workspace = small_home(home)
        run(workspace)
        for number, step in enumerate(steps):
            what, _, where = step.partition(" ")
            if what == "add":
                write_pictures(home / where, 1, seed=seed + number, name=f"new-{number}.png")
            elif what == "remove":
                min((home / where).iterdir()).unlink()
            elif step == "new code":
                patch.setattr(score_store, "SCORE_VERSION", score_store.SCORE_VERSION + 1)
            elif step == "ad hoc":
                semsim.compare(home / "left", home / "right", encoder="classical", limit=4, seed=number)
            else:
                (home / "catalog.yaml").write_text(CATALOG.replace("[left, right], ", ""), encoding="utf-8")
            workspace = Workspace.open(home)
            run(workspace)
        told = gone(workspace, delete=False)
        assert told == [], "nothing is old yet"
        age(home)
        before = on_disk(home)
        told = gone(workspace, delete=False)
        assert on_disk(home) == before, "a dry run removes nothing"
        removed = gone(workspace)
        assert removed == told
        freed = sum(before.values()) - sum(on_disk(home).values())
        assert freed == pytest.approx(sum(each.bytes for each in removed), abs=4096 * len(removed))
        assert gone(workspace) == []
        assert {each.state for each in status_of(workspace).values()} == {"fresh"}
        assert run(workspace) == []
        for key in scored_pairs(home):
            assert all(each.stored is not None for each in history_of(home, key))
        assert list(verify_home(home)) == []


def test_images_that_no_manifest_names_go_and_the_others_stay_bit_by_bit(workspace: Workspace) -> None:
    run(workspace)
    paths = sorted((workspace.home / "left").iterdir())
    for path in paths[2:]:
        path.unlink()
    run(workspace)
    [manifest] = [
        path for path in (workspace.home / "manifests").glob("*/*.parquet")
        if path.name != "index.parquet" and len(pl.read_parquet(path)) == 2
    ]  # fmt: skip
    ids = pl.read_parquet(manifest)["image_id"].to_list()
    [folder] = (workspace.home / "embeddings").iterdir()
    embeddings = _set(folder)
    before = read(embeddings, ids)
    parts = embeddings.parts()
    age(workspace.home)
    removed = [each for each in gone(workspace) if each.kind == "embeddings"]
    assert [each.why for each in removed] == ["6 of its 8 images are in no manifest"]
    assert read(embeddings, ids).tobytes() == before.tobytes()
    assert sorted(part.rows for part in embeddings.parts()) == [2, 8]
    assert {path.name for path in folder.glob("part-*")} == {part.name for part in embeddings.parts()}
    assert len({part.name for part in parts} & {part.name for part in embeddings.parts()}) == 1
    assert run(workspace) == []


def _set(folder: Path) -> EmbeddingSet:
    from semsim_pipeline.stages.gc_sets import set_at

    found = set_at(folder)
    assert found is not None
    return found


def test_a_set_that_no_comparison_uses_goes_whole_and_can_be_made_again(workspace: Workspace) -> None:
    run(workspace)
    (workspace.home / "catalog.yaml").write_text("datasets: {left: left}\nencoders: {classical: classical}\n")
    workspace = Workspace.open(workspace.home)
    age(workspace.home)
    kinds = {each.kind for each in gone(workspace)}
    assert kinds == {"embeddings", "hashes", "pictures", "matrices", "reports", "pointers", "manifests"}
    assert not list((workspace.home / "embeddings").rglob("*.parquet"))
    assert len(history_of(workspace.home, "left~right@classical")) == 1, "a history is kept"
    (workspace.home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    computed = run(Workspace.open(workspace.home))
    assert not [each for each in computed if each.startswith("pair_metrics")], "the scores are found again"
    assert {each.state for each in status_of(Workspace.open(workspace.home)).values()} == {"fresh"}


def test_histories_of_removed_pairs_go_only_when_told(workspace: Workspace) -> None:
    run(workspace)
    text = CATALOG.replace("[left, right], ", "")
    (workspace.home / "catalog.yaml").write_text(text, encoding="utf-8")
    workspace = Workspace.open(workspace.home)
    age(workspace.home)
    assert not {"scores", "histories"} & {each.kind for each in gone(workspace)}
    removed = [each for each in gone(workspace, forget_removed=True) if each.kind in {"scores", "histories"}]
    assert [each.kind for each in removed] == ["histories", "scores"]
    assert scored_pairs(workspace.home) == ["left~left@classical"]
    assert {each.state for each in status_of(workspace).values()} == {"fresh"}


def test_what_compare_left_stays_for_the_days_asked_for(workspace: Workspace) -> None:
    semsim.compare(workspace.home / "left", workspace.home / "right", encoder="classical")
    run(workspace)
    (workspace.home / "left" / "000.png").unlink()
    run(workspace)
    age(workspace.home, days=3)
    assert gone(workspace) == []
    removed = {each.kind for each in gone(workspace, keep_days=2)}
    assert {"scores", "manifests"} <= removed
    assert run(workspace) == []


def test_not_even_with_no_days_what_a_run_may_be_writing(workspace: Workspace) -> None:
    run(workspace)
    (workspace.home / "left" / "000.png").unlink()
    run(workspace)
    assert gone(workspace, keep_days=0) == []
    age(workspace.home, days=0.1)
    assert gone(workspace, keep_days=0)


def test_a_set_and_a_source_in_use_are_left_alone(workspace: Workspace) -> None:
    run(workspace)
    (workspace.home / "catalog.yaml").write_text("datasets: {left: left}\n", encoding="utf-8")
    workspace = Workspace.open(workspace.home)
    age(workspace.home)
    [folder] = (workspace.home / "embeddings").iterdir()
    sources = sorted((workspace.home / "manifests").iterdir())
    with locked(folder / ".run.lock"), locked(sources[0] / ".scan.lock"):
        found = list(collect(workspace.home, workspace.catalog, Policy(), delete=True))
        assert [each.path for each in found if isinstance(each, InUse)] == [folder, sources[0]]
        assert list(folder.glob("part-*.parquet"))
    assert any(each.kind == "embeddings" for each in gone(workspace))


def test_temporary_files_of_the_dead_go_and_of_the_living_stay(workspace: Workspace) -> None:
    run(workspace)
    home = workspace.home
    dead = [home / "scores" / ".tmp-4194305-aa", home / ".tmp-4194305-bb"]
    living, young = home / "scores" / f".tmp-{os.getpid()}-aa", home / "scores" / ".tmp-4194305-cc"
    for path in (*dead, living):
        path.write_bytes(b"12345")
    age(home, days=0.5)
    young.write_bytes(b"1")
    assert sorted(each.path for each in gone(workspace)) == sorted(dead)
    assert living.exists()
    assert young.exists()


def test_nothing_outside_the_home_and_nothing_of_the_users(workspace: Workspace, tmp_path: Path) -> None:
    run(workspace)
    elsewhere = tmp_path / "big disk"
    shutil.move(workspace.home / "embeddings", elsewhere)
    (workspace.home / "embeddings").symlink_to(elsewhere)
    names = ("pictures/holiday/beach.png", "scores/notes.txt", "manifests/x/my.parquet", "reports/mine/index.html")
    mine = [workspace.home / name for name in names]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (workspace.home / "catalog.yaml").write_text("datasets: {left: left}\n", encoding="utf-8")
    workspace = Workspace.open(workspace.home)
    age(workspace.home)
    for path in elsewhere.rglob("*"):
        os.utime(path, (0, 0))
    kept = sorted(elsewhere.rglob("*.parquet"))
    assert kept
    gone(workspace)
    assert sorted(elsewhere.rglob("*.parquet")) == kept
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize(
    "damaged", ["pipeline/embeddings/left@classical.json", "scores/pairs/left~right@classical.json"]
)
def test_with_a_pointer_that_cannot_be_read_nothing_goes(workspace: Workspace, damaged: str) -> None:
    run(workspace)
    (workspace.home / "left" / "000.png").unlink()
    run(workspace)
    (workspace.home / damaged).write_text("{", encoding="utf-8")
    age(workspace.home)
    before = on_disk(workspace.home)
    with pytest.raises(StoreError, match="cannot be read"):
        gone(workspace)
    assert on_disk(workspace.home) == before


def test_a_read_survives_a_part_that_is_replaced_under_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsim_pipeline.store import reader

    run(workspace)
    [folder] = (workspace.home / "embeddings").iterdir()
    embeddings = _set(folder)
    ids = [image for batch in embeddings.id_batches(failed=False) for image in batch["image_id"]]
    for path in sorted((workspace.home / "left").iterdir())[2:]:
        path.unlink()
    for path in sorted((workspace.home / "right").iterdir())[2:]:
        path.unlink()
    run(workspace)
    live = [image for path in (workspace.home / "pipeline" / "datasets").iterdir()
            for image in pl.read_parquet(json.loads(path.read_text())["path"])["image_id"]]  # fmt: skip
    wanted = [image for image in ids if image in live]
    rows = read(embeddings, wanted)
    age(workspace.home)
    calls: list[list[Garbage]] = []
    original = reader._read_part

    def first_collects(*arguments: object) -> None:
        if not calls:
            calls.append([])
            calls[0] = gone(workspace)
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_read_part", first_collects)
    assert read(embeddings, wanted).tobytes() == rows.tobytes()
    assert calls[0]
