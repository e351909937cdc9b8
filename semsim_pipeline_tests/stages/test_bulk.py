"""What is computed when, over the whole graph: the promise of "recomputed only when its upstream changed"."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import semsim_pipeline as semsim
from semsim_pipeline.comparison import score_store
from semsim_pipeline.comparison.selected import SelectedView
from semsim_pipeline.errors import StoreError, UnknownNameError
from semsim_pipeline.plots import base as plots
from semsim_pipeline.stages import embeddings, scores, state
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.outcome import STAGES, Failure, Outcome
from semsim_pipeline.stages.score_store import current_score, make_current, pair_file
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures
from semsim_pipeline_tests.stages.conftest import N

ALL = {"dataset_manifest": 3, "embeddings": 3, "pair_metrics": 6, "pair_plots": 6, "similarity_matrix": 3, "report": 3}


def run(workspace: Workspace, *comparisons: str) -> list[Outcome | Failure]:
    return list(bring_up_to_date(workspace, plan(workspace, comparisons or None)))


def computed(found: list[Outcome | Failure]) -> dict[str, int]:
    assert not [each for each in found if isinstance(each, Failure)]
    return dict(Counter(each.stage for each in found if isinstance(each, Outcome) and each.computed))


def test_every_partition_once_in_the_order_of_the_data(workspace: Workspace) -> None:
    found = run(workspace)
    assert computed(found) == ALL
    assert len({(each.stage, each.partition) for each in found}) == len(found) == plan(workspace).partitions
    places = [STAGES.index(each.stage) for each in found]
    assert places == sorted(places)


def test_nothing_changed_computes_nothing_and_reads_no_embedding(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {(each.stage, each.partition): each for each in run(workspace)}
    monkeypatch.setattr(scores, "open_sets", lambda *_: pytest.fail("embeddings were read"))
    again = run(workspace)
    assert computed(again) == {}
    versions = {(each.stage, each.partition): each.version for each in again if isinstance(each, Outcome)}
    assert versions == {key: each.version for key, each in before.items() if isinstance(each, Outcome)}


def test_unchanged_embeddings_are_known_by_their_files_and_a_lost_one_is_noticed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("left", "right"):
        refresh_manifest(workspace, name)
        assert embed_dataset(workspace, f"{name}@classical").computed
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "embed_view", lambda *_: pytest.fail("the set was looked through"))
        first, second = (embed_dataset(workspace, f"{name}@classical") for name in ("left", "right"))
        assert (first.computed, second.computed) == (False, False)
        assert (first.numbers["embedded"], first.numbers["new_images"]) == (2 * N, 0)
    known = state.read_embedding(workspace.home, "left@classical")
    assert known is not None
    assert known.files is not None
    assert {name.split("/")[0] for name in known.files} == {"embeddings", "hashes"}
    for name in known.files:
        if name.startswith("embeddings"):
            (workspace.home / name).unlink()
    again = embed_dataset(workspace, "left@classical")
    assert (again.numbers["new_images"], again.version) == (2 * N, first.version)
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "embed_view", lambda *_: pytest.fail("right's own files are as they were"))
        assert not embed_dataset(workspace, "right@classical").computed


def test_the_rows_of_a_side_are_hashed_once_for_all_its_pairs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: Counter[str] = Counter()
    original = SelectedView._version

    def counted(view: SelectedView) -> str:
        hashed[view.name] += 1
        return original(view)

    monkeypatch.setattr(SelectedView, "_version", counted)
    run(workspace)
    assert hashed.keys() >= {"left", "left[label=blobs]"}
    assert set(hashed.values()) == {1}  # to score and to draw


def test_a_touch_computes_nothing(workspace: Workspace) -> None:
    run(workspace)
    for path in (workspace.home / "left").rglob("*.png"):
        os.utime(path)
    assert computed(run(workspace)) == {}


def test_one_image_more_in_one_class(workspace: Workspace) -> None:
    run(workspace)
    write_pictures(workspace.home / "right" / "blobs", 1, seed=99, kind="blobs", name="new.png")
    found = run(workspace)
    done = {(each.stage, each.partition) for each in found if isinstance(each, Outcome) and each.computed}
    pairs = {"left.blobs~right.blobs@classical", "left~right@classical"}
    assert done == {
        ("dataset_manifest", "right"),
        ("embeddings", "right@classical"),
        *(("pair_metrics", key) for key in pairs),
        *(("pair_plots", key) for key in pairs),
        *((stage, name) for stage in ("similarity_matrix", "report") for name in ("sides", "whole")),
    }
    [embedded] = [each for each in found if each.partition == "right@classical"]
    assert isinstance(embedded, Outcome)
    assert embedded.numbers["new_images"] == 1


def test_back_to_the_old_images_finds_the_old_scores(workspace: Workspace) -> None:
    run(workspace)
    key = "left~right@classical"
    first = current_score(workspace.home, key)
    extra = workspace.home / "right" / "blobs" / "new.png"
    write_pictures(extra.parent, 1, seed=99, kind="blobs", name=extra.name)
    run(workspace)
    assert current_score(workspace.home, key) != first
    extra.unlink()
    assert "pair_metrics" not in computed(run(workspace))
    assert current_score(workspace.home, key) == first


def test_other_metric_code_is_metrics_and_below(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run(workspace)
    monkeypatch.setattr(score_store, "SCORE_VERSION", score_store.SCORE_VERSION + 1)
    below = ("pair_metrics", "pair_plots", "similarity_matrix", "report")
    assert computed(run(workspace)) == {stage: ALL[stage] for stage in below}


def test_other_plot_code_is_pictures_and_pages(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsim_pipeline.stages import matrix, pictures

    run(workspace)
    for module in (matrix, pictures):
        monkeypatch.setattr(module, "PLOTS_VERSION", plots.PLOTS_VERSION + 1)
    assert computed(run(workspace)) == {stage: ALL[stage] for stage in ("pair_plots", "similarity_matrix", "report")}


def test_one_comparison_needs_only_its_own(workspace: Workspace) -> None:
    assert computed(run(workspace, "inside")) == {
        "dataset_manifest": 1, "embeddings": 1, "pair_metrics": 1, "pair_plots": 1, "similarity_matrix": 1, "report": 1,
    }  # fmt: skip


def test_an_unknown_comparison_names_the_nearest(workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'inside'"):
        plan(workspace, ["insid"])


def test_a_folder_that_vanished_takes_only_its_own_pairs_along(workspace: Workspace) -> None:
    shutil.rmtree(workspace.home / "alone")
    found = run(workspace)
    failed = {(each.stage, each.partition): each for each in found if isinstance(each, Failure)}
    pair = "left~alone@classical"
    assert set(failed) == {
        ("dataset_manifest", "alone"),
        ("embeddings", "alone@classical"),
        ("pair_metrics", pair),
        ("pair_plots", pair),
    }
    assert "alone" in failed["dataset_manifest", "alone"].reason
    assert failed["pair_plots", pair].upstream == "dataset_manifest of alone"
    done = [each for each in found if isinstance(each, Outcome)]
    assert len([each for each in done if each.stage == "pair_plots"]) == ALL["pair_plots"] - 1
    [matrix] = [each for each in done if each.stage == "similarity_matrix" and each.partition == "whole"]
    assert matrix.numbers["missing"] == 1


def test_a_damaged_state_file_is_one_readable_failure(workspace: Workspace) -> None:
    run(workspace)
    state.embedding_file(workspace.home, "left@classical").write_text("{", encoding="utf-8")
    failed = [each for each in run(workspace) if isinstance(each, Failure)]
    assert failed
    assert "left@classical.json cannot be read" in failed[0].reason


@pytest.mark.parametrize("file", [state.dataset_file, state.embedding_file])
def test_a_state_of_another_version_is_one_readable_failure(
    workspace: Workspace, file: Callable[[Path, str], Path]
) -> None:
    run(workspace)
    path = file(workspace.home, "left" if file is state.dataset_file else "left@classical")
    path.write_text('{"dataset": {}, "other": 1}', encoding="utf-8")
    failed = [each for each in run(workspace) if isinstance(each, Failure)]
    assert failed
    assert f"{path} is of another version" in failed[0].reason


def test_rows_of_an_older_decoder_are_not_scored(workspace: Workspace) -> None:
    run(workspace)
    path = state.embedding_file(workspace.home, "left@classical")
    known = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**known, "decode_version": known["decode_version"] - 1}), encoding="utf-8")
    [found] = scores.score_pairs(workspace, ["left~right@classical"])
    assert isinstance(found, Failure)
    assert "by another version" in found.reason
    assert computed(run(workspace)) == {"embeddings": 1}


def test_two_writers_of_one_pair_both_stay_in_its_history(workspace: Workspace) -> None:
    run(workspace, "inside")
    key = "left.blobs~left.stripes@classical"
    stored = current_score(workspace.home, key)
    assert stored is not None
    others = [replace(stored, version=f"{number:02d}" + 62 * "0") for number in range(24)]
    for each in others:
        score_store.result_file(workspace.home, each.version).parent.mkdir(exist_ok=True)
        score_store.result_file(workspace.home, each.version).touch()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: make_current(workspace.home, key, each), others))
    pointer = json.loads(pair_file(workspace.home, key).read_text(encoding="utf-8"))
    assert {event["version"] for event in pointer["history"]} == {each.version for each in (stored, *others)}
    assert [event["order"] for event in pointer["history"]] == list(range(1, 26))


def test_two_aliases_of_one_encoder_stand_side_by_side(workspace: Workspace) -> None:
    path = workspace.home / "catalog.yaml"
    text = path.read_text(encoding="utf-8").replace("classical: classical", "classical: classical\n  again: classical")
    path.write_text(text, encoding="utf-8")
    found = run(Workspace.open(workspace.home), "inside")
    [matrix] = [each for each in found if isinstance(each, Outcome) and each.stage == "similarity_matrix"]
    assert (matrix.row_count, len(matrix.pictures)) == (2, 2)


def test_other_words_are_another_page_and_nothing_else(workspace: Workspace) -> None:
    run(workspace)
    path = workspace.home / "catalog.yaml"
    text = path.read_text(encoding="utf-8").replace("{across: left", "{description: One folder., across: left")
    path.write_text(text, encoding="utf-8")
    assert computed(run(Workspace.open(workspace.home))) == {"report": 1}
    assert "One folder." in (workspace.home / "reports" / "inside" / "index.html").read_text(encoding="utf-8")


def test_a_value_that_another_filter_leaves_empty_is_known_all_the_same(workspace: Workspace) -> None:
    import polars as pl

    images = sorted((workspace.home / "left").rglob("*.png"))[:30]
    rows = [{"image": {"bytes": path.read_bytes(), "path": path.name}} for path in images]
    classes = ["dog"] * 10 + ["cat", "dog"] * 10
    labelled = pl.DataFrame(rows).with_columns(
        pl.Series("label", ["REAL"] * 10 + ["FAKE"] * 20), pl.Series("class", classes)
    )
    labelled.write_parquet(workspace.home / "pets.parquet")
    (workspace.home / "catalog.yaml").write_text(
        "datasets: {pets: {spec: pets.parquet, values: {label: [REAL, FAKE], class: [dog, cat]}}}\n"
        "encoders: {classical: classical}\n"
        "comparisons: {both: {pairs: [['pets[label=REAL,class=dog|cat]', 'pets[label=FAKE,class=dog|cat]']]}}\n",
        encoding="utf-8",
    )
    changed = Workspace.open(workspace.home)
    found = run(changed)
    assert not [each for each in found if isinstance(each, Failure)]
    [pair] = changed.catalog.pairs.values()
    stored = current_score(workspace.home, pair.key)
    assert stored is not None
    assert (
        stored.comparison.to_json()
        == semsim.compare(pair.reference.text, pair.candidate.text, encoder="classical").to_json()
    )


def test_the_graph_and_compare_give_the_same_numbers(workspace: Workspace) -> None:
    run(workspace)
    home = workspace.home
    for key, specs in {
        "left~right@classical": (home / "left", home / "right"),
        "left.blobs~right.blobs@classical": (f"{home}/left[label=blobs]", f"{home}/right[label=blobs]"),
    }.items():
        stored = current_score(home, key)
        assert stored is not None
        graph = stored.comparison.to_json()
        plain = semsim.compare(*map(str, specs), encoder="classical").to_json()
        for side in ("reference", "candidate"):
            for each in (graph, plain):
                each[side] = {name: value for name, value in dict(each[side]).items() if name != "name"}  # type: ignore[call-overload]
        assert graph == plain


def test_stages_by_themselves_say_what_is_missing(workspace: Workspace) -> None:
    from semsim_pipeline.errors import StoreError
    from semsim_pipeline.stages.embeddings import embed_dataset
    from semsim_pipeline.stages.matrix import build_matrix
    from semsim_pipeline.stages.pictures import draw_pair_plots
    from semsim_pipeline.stages.scores import score_pair

    key = "left~left@classical"
    with pytest.raises(StoreError, match="left@classical is not embedded yet"):
        score_pair(workspace, key)
    embed_dataset(workspace, "left@classical")  # scans by itself
    with pytest.raises(StoreError, match=r"not scored yet"):
        draw_pair_plots(workspace, key)
    with pytest.raises(StoreError, match=r"No pair of whole is scored"):
        build_matrix(workspace, "whole")
    outcome = score_pair(workspace, key)
    assert outcome.numbers["p_value"] == 1.0
    assert outcome.numbers["overlap"] == 2 * N
    with pytest.raises(UnknownNameError, match="Did you mean"):
        score_pair(workspace, "left~lef@classical")


@pytest.mark.real_pictures
def test_the_pages_are_there_and_stand_alone(workspace: Workspace) -> None:
    run(workspace)
    for name in workspace.catalog.comparisons:
        page = (workspace.home / "reports" / name / "index.html").read_text(encoding="utf-8")
        assert "data:image/png;base64," in page
        assert 'src="http' not in page


def test_a_deleted_page_is_written_again(workspace: Workspace) -> None:
    run(workspace)
    page: Path = workspace.home / "reports" / "inside" / "index.html"
    page.unlink()
    assert computed(run(workspace)) == {"report": 1}
    assert page.is_file()


@pytest.mark.real_pictures
def test_pictures_of_images_that_moved_are_never_kept(workspace: Workspace) -> None:
    """A grey tile is right for the moment and wrong for ever after."""
    from semsim_pipeline.stages.pictures import draw_pair_plots
    from semsim_pipeline.stages.scores import score_pair

    pair = "left~alone@classical"
    for found in bring_up_to_date(workspace, plan(workspace, ["whole"])):
        if found.stage == "pair_metrics" and found.partition == pair:
            break
    aside = workspace.home / "aside"
    (workspace.home / "alone").rename(aside)
    (workspace.home / "alone").mkdir()
    score_pair(workspace, pair)
    with pytest.raises(StoreError, match="not what was embedded any more"):
        draw_pair_plots(workspace, pair)
    (workspace.home / "alone").rmdir()
    aside.rename(workspace.home / "alone")
    assert draw_pair_plots(workspace, pair).computed
