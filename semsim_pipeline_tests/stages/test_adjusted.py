"""P-values over a comparison: the same raw ones on every path, adjusted where scores stand together."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from semsim_pipeline.catalog import Catalog
from semsim_pipeline.cli.output import stdout
from semsim_pipeline.cli.overview import print_overview
from semsim_pipeline.comparison.run import compare_pairs
from semsim_pipeline.metrics.multiplicity import benjamini_hochberg, holm
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.matrix import TABLE, matrix_folder, scored_comparison
from semsim_pipeline.stages.report import report_file
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.workspace import Workspace

COLUMNS = ["p_value", "p_adjusted", "p_holm", "tests", "verdict", "images_needed"]


def test_a_pair_has_one_p_value_and_each_comparison_its_adjustment(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    list(bring_up_to_date(workspace, plan(workspace)))
    comparison = workspace.catalog.comparisons["whole"]
    stored = [current_score(workspace.home, key) for key in comparison.pairs]
    raw = [score.comparison.similarity.p_value for score in stored if score and score.comparison.similarity]
    assert len(raw) == 3
    # The pair's own result knows of no other pair.
    assert all(score is not None and score.comparison.adjusted_p is None for score in stored)

    scored = scored_comparison(workspace, "whole")
    table = pl.read_parquet(matrix_folder(workspace.home, "whole", scored.version) / TABLE)
    tested = table.filter(pl.col("metric") == "similarity")
    assert tested["p_value"].to_list() == raw
    assert tested["p_adjusted"].to_list() == benjamini_hochberg(raw)
    assert tested["p_holm"].to_list() == holm(raw)
    assert tested["tests"].to_list() == [3, 3, 3]
    assert tested["verdict"].to_list() == [score.comparison.verdict.text for score in stored if score]
    others = table.filter(pl.col("metric") != "similarity").select(COLUMNS)
    assert others.null_count().row(0) == (len(others),) * len(COLUMNS)

    page = report_file(workspace.home, "whole")
    numbers = json.loads((page.parent / "comparison.json").read_text(encoding="utf-8"))
    shown = {each["similarity"]["p_adjusted"]["benjamini_hochberg"] for each in numbers}
    assert shown == set(benjamini_hochberg(raw))
    text = page.read_text(encoding="utf-8")
    assert "adjusted over 3 tests" in text
    assert "of 3 differ beyond chance" in text
    print_overview(stdout(), workspace.catalog, workspace.home, "whole")
    assert "adjusted p" in capsys.readouterr().out

    views = [(str(workspace.home / one), str(workspace.home / other)) for one, other in
             (("left", "right"), ("left", "left"), ("left", "alone"))]  # fmt: skip
    same = compare_pairs(views, "classical")
    assert [each.similarity.p_value for each in same if each.similarity] == raw
    assert [each.adjusted_p for each in same] == [score.comparison.adjusted_p for score in scored.scores.values()]


def test_permutations_follow_the_largest_comparison_that_a_pair_is_in(workspace: Workspace) -> None:
    catalog: Catalog = workspace.catalog
    inside, whole = catalog.comparisons["inside"], catalog.comparisons["whole"]
    assert {workspace.permutations(key) for key in catalog.pairs} == {999}
    large = replace(whole, pairs=whole.pairs + tuple(f"other-{number}" for number in range(60)))
    grown = replace(workspace, catalog=replace(catalog, comparisons={**catalog.comparisons, "whole": large}))
    assert {grown.permutations(key) for key in whole.pairs} == {4999}
    assert {grown.permutations(key) for key in inside.pairs} == {999}
