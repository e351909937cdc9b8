"""Stage 5, `similarity_matrix`: all scores of a comparison as tidy rows, and a heat map for each encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.comparison.family import as_family
from semsim_pipeline.comparison.matrix import SimilarityMatrix, similarity_matrix
from semsim_pipeline.comparison.results import Comparison as Result
from semsim_pipeline.comparison.score_store import VERSION_DIGITS, StoredScore, result_file
from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import Plain, digest_of
from semsim_pipeline.metrics.verdict import ALPHA
from semsim_pipeline.plots.base import PLOTS_VERSION
from semsim_pipeline.stages.outcome import LateRows, Outcome, Row
from semsim_pipeline.stages.picture_store import keep_pictures, read_pictures
from semsim_pipeline.stages.score_store import current_score, current_version
from semsim_pipeline.stages.workspace import Workspace, known
from semsim_pipeline.store.writer import atomic_file

if TYPE_CHECKING:
    import polars as pl

    from semsim_pipeline.plots.base import Picture

MATRIX_VERSION = 2
"""Raised when the tidy rows change."""
TABLE = "scores.parquet"
MOST_ROWS_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredComparison:
    """A comparison and the scores that its pairs have now, by key, in order. missing: keys without one."""

    comparison: Comparison
    scores: Mapping[str, StoredScore]
    missing: tuple[str, ...]

    @property
    def version(self) -> str:
        """See `comparison_version`."""
        return comparison_version(self.comparison, {key: score.version for key, score in self.scores.items()})

    def matrices(self) -> list[SimilarityMatrix]:
        """One for each alias and encoder that has scores, in the comparison's order.

        By both: two aliases may mean one encoder, and an alias that now means another has old scores until rescored.
        """
        by_encoder: dict[tuple[str, str], list[str]] = {}
        for key, score in self.scores.items():
            alias = key.rpartition("@")[2].partition(".")[0]  # a seed other than 0 comes after a dot
            by_encoder.setdefault((alias, score.comparison.encoder), []).append(key)
        labels = self.comparison.labels
        return [
            similarity_matrix(
                self.comparison.name,
                encoder,
                self.comparison.kind,
                [(*labels[key], key, self.scores[key].comparison) for key in keys],
            )
            for (_alias, encoder), keys in by_encoder.items()
        ]


def comparison_version(comparison: Comparison, scores: Mapping[str, str]) -> str:
    """Of which pairs there are, what they are called, and the versions of their scores."""
    labels: list[Plain] = [[key, *comparison.labels[key]] for key in comparison.pairs]
    found: list[Plain] = [[key, version] for key, version in scores.items()]
    return digest_of([MATRIX_VERSION, PLOTS_VERSION, comparison.name, comparison.kind, labels, found])


def scored_versions(home: Path, comparison: Comparison) -> dict[str, str]:
    """The versions of the scores that a comparison's pairs have now, none of them read.

    Raises StoreError where no pair has a score yet.
    """
    found = {key: current_version(home, key) for key in comparison.pairs}
    scores = {
        key: version for key, version in found.items() if version is not None and result_file(home, version).is_file()
    }
    if not scores:
        raise StoreError(_unscored(comparison))
    return scores


def scored_comparison(workspace: Workspace, name: str) -> ScoredComparison:
    """The current scores of a comparison. Raises UnknownNameError; StoreError where no pair has a score yet."""
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    found = {key: current_score(workspace.home, key) for key in comparison.pairs}
    scores = in_family({key: score for key, score in found.items() if score is not None})
    if not scores:
        raise StoreError(_unscored(comparison))
    return ScoredComparison(
        comparison=comparison, scores=scores, missing=tuple(key for key, score in found.items() if score is None)
    )


def in_family(scores: Mapping[str, StoredScore]) -> dict[str, StoredScore]:
    """The same scores with their p-values adjusted over all of them: all pairs and encoders of a comparison."""
    family = as_family([score.comparison for score in scores.values()])
    return {key: replace(score, comparison=one) for (key, score), one in zip(scores.items(), family, strict=True)}


def _unscored(comparison: Comparison) -> str:
    return f"No pair of {comparison.name} is scored yet: materialise `pair_metrics`, or run `semsim rescore`."


def build_matrix(workspace: Workspace, name: str) -> Outcome:
    """The table and heat maps of a comparison; read back where they are there for exactly these scores.

    Raises UnknownNameError; StoreError where no pair has a score yet.
    """
    began = time.perf_counter()
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    scores = scored_versions(workspace.home, comparison)
    version = comparison_version(comparison, scores)
    folder = matrix_folder(workspace.home, name, version)
    pictures = read_pictures(folder)
    computed = pictures is None or not (folder / TABLE).is_file()
    if pictures is None or computed:
        scored = scored_comparison(workspace, name)
        version, scores = scored.version, dict.fromkeys(scored.scores, "")  # a damaged score counts as none
        folder = matrix_folder(workspace.home, name, version)
        drawn = _drawn(scored)
        with atomic_file(folder / TABLE) as file:
            tidy(scored).write_parquet(file)
        pictures = keep_pictures(folder, version, drawn)
    values, different = _headlines(folder / TABLE)
    return Outcome(
        stage="similarity_matrix",
        partition=name,
        version=version,
        computed=computed,
        seconds=time.perf_counter() - began,
        path=folder / TABLE,
        row_count=len(scores),
        numbers={
            "pairs": len(comparison.pairs),
            "scored": len(values),
            "missing": len(comparison.pairs) - len(scores),
            "different": different,
            **({"lowest": min(values), "highest": max(values), "mean": sum(values) / len(values)} if values else {}),
        },
        texts={"title": comparison.title},
        rows=LateRows(lambda: _rows(scored_comparison(workspace, name))[:MOST_ROWS_SHOWN]),
        pictures=pictures,
    )


def matrix_folder(home: Path, name: str, version: str) -> Path:
    """Where one version of a comparison's table and heat maps is."""
    return home / "matrices" / name / version[:VERSION_DIGITS]


def tidy(scored: ScoredComparison) -> pl.DataFrame:
    """One row a pair and metric: comparison, pair, reference, candidate, encoder, metric, value, low, high, null,
    p_value, p_adjusted (Benjamini–Hochberg), p_holm, tests, verdict, images_needed, status, reason, score_version.

    The headline is the metric `similarity`; it alone has a test and a verdict. p_adjusted and p_holm are over the
    `tests` of this comparison.
    """
    import polars as pl

    rows: list[tuple[object, ...]] = []
    nothing = (None,) * 6
    for key, score in scored.scores.items():
        found = score.comparison
        head = (scored.comparison.name, key, found.reference.name, found.candidate.name, found.encoder)
        interval = (None, None) if found.similarity is None else found.similarity.interval
        end = (found.status, found.reason, score.version)
        rows.append((*head, "similarity", found.value, *interval, None, *_tested(found), *end))
        for name, value in sorted(found.metrics.items()):
            low, high = value.interval or (None, None)
            end = (value.status, value.reason, score.version)
            rows.append((*head, name, value.value, low, high, value.null, *nothing, *end))
    text, number = pl.String, pl.Float64
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(
        ("comparison", "pair", "reference", "candidate", "encoder", "metric"), text
    )
    schema |= dict.fromkeys(("value", "low", "high", "null", "p_value", "p_adjusted", "p_holm"), number)
    schema |= {"tests": pl.Int64, "verdict": text, "images_needed": pl.Int64}
    schema |= dict.fromkeys(("status", "reason", "score_version"), text)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _tested(found: Result) -> tuple[object, ...]:
    """p_value, p_adjusted, p_holm, tests, verdict, images_needed."""
    family = found.family
    said = (found.verdict.text, found.verdict.images_needed)
    if found.similarity is None or family is None:
        return (None, None, None, None, *said)
    return (found.similarity.p_value, family.benjamini_hochberg, family.holm, family.tests, *said)


def _headlines(table: Path) -> tuple[list[float], int]:
    """The scores that have a value, and how many pairs differ beyond chance, every test considered."""
    import polars as pl

    rows = pl.scan_parquet(table).filter(pl.col("metric") == "similarity").select("value", "p_adjusted").collect()
    return rows["value"].drop_nulls().to_list(), int((rows["p_adjusted"] <= ALPHA).sum())


def _drawn(scored: ScoredComparison) -> tuple[Picture, ...]:
    from semsim_pipeline.plots.heatmap import draw_heatmap

    drawn = [draw_heatmap(matrix) for matrix in scored.matrices()]
    if len(drawn) == 1:
        return tuple(drawn)
    return tuple(replace(picture, name=f"{picture.name}-{number + 1}") for number, picture in enumerate(drawn))


def _rows(scored: ScoredComparison) -> list[Row]:
    """The scores, highest first, for the UI's table."""
    rows: list[Row] = []
    for key, score in scored.scores.items():
        found = score.comparison
        low, high = (None, None) if found.similarity is None else found.similarity.interval
        rows.append(
            {
                "pair": key,
                "similarity": found.value,
                "low": low,
                "high": high,
                "p_adjusted": None if found.family is None else found.family.benjamini_hochberg,
                "verdict": found.verdict.text,
                "images": f"{found.reference.n} and {found.candidate.n}",
            }
        )
    return sorted(rows, key=lambda row: -1.0 if row["similarity"] is None else float(row["similarity"]), reverse=True)
