"""What goes wrong outside: each is one clear line, the others go on, and nothing that was computed is lost."""

from __future__ import annotations

import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import pytest

from semsim_pipeline.errors import CatalogError, SemsimError
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.outcome import Failure, Outcome
from semsim_pipeline.stages.pictures import draw_pair_plots
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.scores import score_pair
from semsim_pipeline.stages.state import read_dataset, read_embedding
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline_tests.pictures import write_pictures

N = 12
GOOD = "left~right@classical"
BAD = "left~odd@classical"
CATALOG = """
datasets: {left: left, right: right, odd: ODD}
encoders: {classical: classical}
comparisons: {whole: {pairs: [[left, right], [left, odd]]}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    home = tmp_path / "home"
    monkeypatch.setenv("SEMSIM_HOME", str(home))
    for number, dataset in enumerate(("left", "right", "odd")):
        write_pictures(home / dataset, N, seed=number)
    return catalogue(home, CATALOG.replace("ODD", "odd"))


def catalogue(home: Path, text: str) -> Workspace:
    (home / "catalog.yaml").write_text(text, encoding="utf-8")
    return Workspace.open(home)


def run(workspace: Workspace) -> list[Outcome | Failure]:
    return list(bring_up_to_date(workspace, plan(workspace)))


def only_the_odd_one_fails(workspace: Workspace, *said: str) -> list[Failure]:
    """Run everything: each of these words in one line of what failed first, and the other pair current."""
    found = run(workspace)
    failed = [each for each in found if isinstance(each, Failure)]
    first = failed[0]
    assert first.upstream is None
    for words in said:
        assert words in first.reason
    assert "\n" not in first.reason
    assert "Traceback" not in first.reason
    done = {(each.stage, each.partition) for each in found if isinstance(each, Outcome)}
    assert {("pair_metrics", GOOD), ("pair_plots", GOOD), ("similarity_matrix", "whole"), ("report", "whole")} <= done
    assert ("pair_metrics", BAD) not in done
    [report] = [each for each in found if each.stage == "report"]
    [standing] = report.checks
    assert [row["pair"] for row in standing.rows] == [BAD]
    assert said[0] in str(standing.rows[0]["why"])
    return failed


def test_a_folder_that_vanished(workspace: Workspace) -> None:
    run(workspace)
    before = current_score(workspace.home, BAD)
    shutil.rmtree(workspace.home / "odd")
    only_the_odd_one_fails(workspace, str(workspace.home / "odd"))
    assert before is not None
    assert current_score(workspace.home, BAD) == before
    assert read_dataset(workspace.home, "odd") is not None


def test_a_folder_that_was_emptied(workspace: Workspace) -> None:
    run(workspace)
    before = current_score(workspace.home, BAD), read_dataset(workspace.home, "odd")
    for path in (workspace.home / "odd").iterdir():
        path.unlink()
    only_the_odd_one_fails(workspace, "odd", "no image")
    assert (current_score(workspace.home, BAD), read_dataset(workspace.home, "odd")) == before


def test_an_encoder_whose_library_is_gone(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run(workspace)
    text = CATALOG.replace("ODD", "odd").replace("classical: classical", "classical: classical, gone: 'timm:resnet18'")
    text += "  network: {pairs: [[left, right]], encoders: [gone]}\n"
    text = text.replace(
        "comparisons: {whole: {pairs: [[left, right], [left, odd]]}}",
        "comparisons:\n  whole: {pairs: [[left, right], [left, odd]], encoders: [classical]}",
    )
    changed = catalogue(workspace.home, text)
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    found = run(changed)
    failed = [each for each in found if isinstance(each, Failure)]
    assert {each.partition.partition("@")[2] for each in failed} <= {"gone", ""}
    assert "timm" in failed[0].reason
    assert "not installed" in failed[0].reason
    assert len([each for each in found if isinstance(each, Outcome) and each.stage == "pair_metrics"]) == 2


def test_an_encoder_that_nobody_knows_any_more(workspace: Workspace) -> None:
    """A wrong catalogue is refused whole, with the line; the one that was loaded stays."""
    text = CATALOG.replace("ODD", "odd").replace("classical: classical", "classical: no-such-encoder")
    with pytest.raises(CatalogError, match=r"yaml:3: encoders\.classical: unknown encoder 'no-such-encoder'\. Known: "):
        catalogue(workspace.home, text)


def test_an_archive_that_ends_half_way(workspace: Workspace) -> None:
    whole = workspace.home / "odd.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted((workspace.home / "odd").iterdir()):
            archive.write(path, path.name)
    changed = catalogue(workspace.home, CATALOG.replace("ODD", "odd.zip"))
    run(changed)
    before = current_score(workspace.home, BAD)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    only_the_odd_one_fails(changed, "odd.zip")
    assert before is not None
    assert current_score(workspace.home, BAD) == before


def test_a_source_that_fails_while_it_is_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network share that goes away between two images."""
    from semsim_pipeline.datasets import folder

    run(workspace)
    write_pictures(workspace.home / "odd", 3, seed=9, name="new{}.png")
    original = folder.FolderReader.read

    def read(self: folder.FolderReader, item):  # type: ignore[no-untyped-def]
        if item.path.startswith("new1"):
            raise OSError(107, "Transport endpoint is not connected")
        return original(self, item)

    monkeypatch.setattr(folder.FolderReader, "read", read)
    only_the_odd_one_fails(workspace, "odd", "Transport endpoint is not connected")
    monkeypatch.undo()
    monkeypatch.setenv("SEMSIM_HOME", str(workspace.home))
    [embedded] = [each for each in run(workspace) if (each.stage, each.partition) == ("embeddings", "odd@classical")]
    assert isinstance(embedded, Outcome)
    assert embedded.numbers["new_images"] == 3  # nothing else was embedded again


def test_a_class_that_was_removed(workspace: Workspace) -> None:
    for kind in ("blobs", "stripes"):
        write_pictures(workspace.home / "classes" / kind, N, seed=5, kind=kind)
    text = CATALOG.replace("odd: ODD", "odd: odd, classes: {spec: classes, values: {label: [blobs, stripes]}}")
    text = text.replace("[left, odd]", "[left, 'classes[label=blobs]'], [left, 'classes[label=stripes]']")
    changed = catalogue(workspace.home, text)
    run(changed)
    before = current_score(workspace.home, "left~classes.blobs@classical")
    shutil.rmtree(workspace.home / "classes" / "blobs")
    found = run(changed)
    failed = {(each.stage, each.partition): each.reason for each in found if isinstance(each, Failure)}
    assert set(failed) == {(stage, "left~classes.blobs@classical") for stage in ("pair_metrics", "pair_plots")}
    assert "'blobs'" in failed["pair_metrics", "left~classes.blobs@classical"]
    assert before is not None
    assert current_score(workspace.home, "left~classes.blobs@classical") == before


def test_a_clock_that_goes_back(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run(workspace)
    before = current_score(workspace.home, GOOD)
    day = 24 * 3600
    ns, seconds = time.time_ns, time.time
    monkeypatch.setattr(time, "time_ns", lambda: ns() - day * 10**9)
    monkeypatch.setattr(time, "time", lambda: seconds() - day)
    assert not [each for each in run(workspace) if isinstance(each, Failure) or each.computed]
    path = workspace.home / "odd" / "000.png"
    old = path.stat().st_mtime - 2 * day
    write_pictures(workspace.home / "odd", 1, seed=77)  # other content under the same name, and an older time
    os.utime(path, (old, old))
    found = run(workspace)
    assert {
        each.partition for each in found if isinstance(each, Outcome) and each.computed and each.stage == "pair_metrics"
    } == {BAD}
    assert current_score(workspace.home, GOOD) == before


def damage(workspace: Workspace, partition: str) -> Path:
    state = read_embedding(workspace.home, partition)
    assert state is not None
    embeddings = EmbeddingSet.at(workspace.home, state.key)
    odd = set(read_ids(Path(state.dataset.path)))
    import polars as pl

    for part in embeddings.parts():
        path = embeddings.folder / part.name
        if odd & set(pl.read_parquet(path, columns=["image_id"])["image_id"]):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(bytes(content))
            return path
    raise AssertionError(partition)


def read_ids(manifest: Path) -> list[str]:
    import polars as pl

    return pl.read_parquet(manifest)["image_id"].to_list()


def test_a_part_that_was_damaged(workspace: Workspace) -> None:
    run(workspace)
    before = current_score(workspace.home, BAD)
    path = damage(workspace, "odd@classical")
    stored = workspace.home / "scores" / "results"
    shutil.rmtree(stored)  # so that numbers must be read
    with pytest.raises(SemsimError, match="cannot be read") as said:
        score_pair(workspace, BAD)
    assert path.name in str(said.value)
    assert score_pair(workspace, GOOD).computed  # which does not need that part
    assert not [each for each in run(workspace) if isinstance(each, Failure)]  # embedded again
    after = current_score(workspace.home, BAD)
    assert before is not None
    assert after is not None
    assert after.comparison.to_json() == before.comparison.to_json()


def test_a_manifest_that_was_damaged(workspace: Workspace) -> None:
    run(workspace)
    state = read_dataset(workspace.home, "odd")
    assert state is not None
    Path(state.path).write_bytes(b"PAR1 no more")
    for stage in (score_pair, draw_pair_plots):
        with pytest.raises(SemsimError, match=r"cannot be read|damaged"):
            stage(workspace, BAD)
    assert not [each for each in run(workspace) if isinstance(each, Failure)]  # a scan writes it again
