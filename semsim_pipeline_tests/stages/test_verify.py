"""Every kind of damage is named in one line, and repair lets the next run make it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.comparison.score_store import result_file
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.gc_sets import set_at
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.score_store import current_version, pair_file
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.verify import Problem, verify_home
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.writer import part_name, shard_digest, write_part
from semsim_pipeline_tests.pictures import write_pictures

KEY = "left~right@classical"
CATALOG = """
datasets: {left: left, right: right}
encoders: {classical: classical}
comparisons: {whole: {pairs: [[left, right]]}}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A home with one scored pair; each test copies it."""
    home = tmp_path_factory.mktemp("verify") / "home"
    for number, dataset in enumerate(("left", "right")):
        write_pictures(home / dataset, 8, seed=number)
    (home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(home))
        patch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
        workspace = Workspace.open(home)
        run(workspace)
        yield workspace


@pytest.fixture
def workspace(whole: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """As it was, again after each test."""
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
    kept = {path: path.read_bytes() for path in whole.home.rglob("*") if path.is_file()}
    yield whole
    for path in [path for path in whole.home.rglob("*") if path.is_file() and path not in kept]:
        path.unlink()
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def run(workspace: Workspace) -> None:
    for found in bring_up_to_date(workspace, plan(workspace)):
        assert isinstance(found, Outcome), found


def found(home: Path, *, repair: bool = False) -> list[Problem]:
    return list(verify_home(home, repair=repair))


def embeddings_of(home: Path) -> EmbeddingSet:
    [folder] = (home / "embeddings").iterdir()
    known = set_at(folder)
    assert known is not None
    return known


def a_part(home: Path) -> Path:
    embeddings = embeddings_of(home)
    return embeddings.folder / embeddings.parts()[0].name


def flip_a_bit(home: Path) -> None:
    path = a_part(home)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))


def cut_a_part(home: Path) -> None:
    a_part(home).write_bytes(a_part(home).read_bytes()[:-9])


def lose_a_part(home: Path) -> None:
    a_part(home).unlink()


def not_a_number(home: Path) -> None:
    embeddings = embeddings_of(home)
    part = embeddings.parts()[0]
    [ids, *_] = [batch["image_id"].to_list() for batch in embeddings.id_batches(failed=False)]
    rows = np.full((part.rows, part.dim), np.nan, dtype=np.float32)
    write_part(embeddings.folder / part.name, embeddings.key, ids, rows, planned=part.rows)
    _name_again(embeddings, part.name)


def other_images(home: Path) -> None:
    embeddings = embeddings_of(home)
    part = embeddings.parts()[0]
    rows = np.ones((part.rows, part.dim), dtype=np.float32)
    others = [f"{number:064x}" for number in range(part.rows)]
    assert part_name(shard_digest(embeddings.key, others)) != part.name
    write_part(embeddings.folder / part.name, embeddings.key, others, rows, planned=part.rows)
    _name_again(embeddings, part.name)


def _name_again(embeddings: EmbeddingSet, name: str) -> None:
    path = embeddings.folder / "parts.json"
    said = json.loads(path.read_text())
    for part in said["parts"]:
        if part["name"] == name:
            part["bytes"] = (embeddings.folder / name).stat().st_size
    path.write_text(json.dumps(said))


def damage(pattern: str) -> Callable[[Path], None]:
    def apply(home: Path) -> None:
        path = sorted(home.glob(pattern))[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return apply


def other_rows(home: Path) -> None:
    """One dataset's manifest under the name of another version."""
    path, other = sorted(path for path in home.glob("manifests/*/*.parquet") if path.name != "index.parquet")
    path.write_bytes(other.read_bytes())


def other_inputs(home: Path) -> None:
    version = current_version(home, KEY)
    assert version is not None
    path = result_file(home, version)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'), encoding="utf-8")


def not_a_whole_score(home: Path) -> None:
    version = current_version(home, KEY)
    assert version is not None
    path = result_file(home, version)
    said = json.loads(path.read_text())
    del said["record"]["verdict"]
    path.write_text(json.dumps(said), encoding="utf-8")


REPAIRED: list[tuple[Callable[[Path], None], str]] = [
    (flip_a_bit, "part-"),
    (cut_a_part, "part-"),
    (lose_a_part, "part-"),
    (not_a_number, "NaN or infinity in 8 rows"),
    (other_images, "holds other images than its name says"),
    (damage("embeddings/*/parts.json"), "parts.json cannot be read"),
    (damage("hashes/*/*.parquet"), "cannot be read"),
    (damage("manifests/*/index.parquet"), "index.parquet cannot be read"),
    (damage("manifests/*/[0-9a-f]*.parquet"), "cannot be read"),
    (other_rows, "holds other rows than its name says"),
    (damage("pipeline/datasets/*.json"), "cannot be read"),
    (damage("scores/results/*/*.json"), "cannot be read"),
    (other_inputs, "has other inputs than its name says"),
    (not_a_whole_score, "does not hold a whole score"),
    (damage(f"scores/pairs/{KEY}.json"), "cannot be read"),
    (damage("pictures/*/*/*.png"), "A picture in"),
    (damage("pictures/*/*/pictures.json"), "cannot be read"),
    (damage("matrices/*/*/scores.parquet"), "scores.parquet cannot be read"),
]


def test_a_whole_store_has_no_problem(workspace: Workspace) -> None:
    assert found(workspace.home) == []


@pytest.mark.parametrize(("break_it", "said"), REPAIRED)
def test_damage_is_named_and_repaired_and_made_again(
    workspace: Workspace, break_it: Callable[[Path], None], said: str
) -> None:
    home = workspace.home
    break_it(home)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")}
    problems = found(home)
    assert any(said in each.what for each in problems), problems
    assert all("\n" not in each.line and each.line.count(": ") >= 1 for each in problems)
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")}
    assert after == before, "a look changes nothing"
    assert any(each.repaired and said in each.what for each in found(home, repair=True))
    run(workspace)
    assert found(home) == []
    assert {each.state for each in status_of(workspace).values()} == {"fresh"}


def test_what_only_a_run_can_mend_says_so(workspace: Workspace) -> None:
    version = current_version(workspace.home, KEY)
    assert version is not None
    result_file(workspace.home, version).unlink()
    [problem] = found(workspace.home, repair=True)
    assert not problem.repaired
    assert problem.line.endswith("has gone: run `semsim rescore`.")
    run(workspace)
    assert found(workspace.home) == []


def test_a_pointer_whose_history_does_not_end_in_it(workspace: Workspace) -> None:
    path = pair_file(workspace.home, KEY)
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "current": "0" * 64}), encoding="utf-8")
    assert "not the last of its history" in found(workspace.home)[0].what


def test_a_set_in_use_is_looked_at_and_not_repaired(workspace: Workspace) -> None:
    lose_a_part(workspace.home)
    with locked(embeddings_of(workspace.home).folder / ".run.lock"):
        problems = found(workspace.home, repair=True)
    assert problems
    assert not any(each.repaired for each in problems if "part-" in each.what)
