"""Stage 5, `similarity_matrix`: all scores of a comparison as tidy rows, and a heat map for each encoder."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.comparison.family import as_family
from semsim_pipeline.comparison.matrix import SimilarityMatrix, similarity_matrix
from semsim_pipeline.comparison.results import Comparison as Result
from semsim_pipeline.comparison.score_store import VERSION_DIGITS, StoredScore
from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import Plain, digest_of
from semsim_pipeline.metrics.verdict import ALPHA
from semsim_pipeline.plots.base import PLOTS_VERSION
from semsim_pipeline.stages.failures import Failures, Noted
from semsim_pipeline.stages.outcome import LateRows, Outcome, Row
from semsim_pipeline.stages.picture_store import has_pictures, keep_pictures, read_pictures
from semsim_pipeline.stages.score_store import current_score, current_version
from semsim_pipeline.stages.workspace import Workspace, known
from semsim_pipeline.store.writer import write_frame

if TYPE_CHECKING:
    import polars as pl

    from semsim_pipeline.plots.base import Picture

MATRIX_VERSION = 4
"""Raised when the tidy rows change."""
TABLE = "scores.parquet"
TAIL = ("status", "reason", "score_version", "from_before")
MOST_ROWS_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredComparison:
    """A comparison and the scores that its pairs have now, by key, in order. missing: keys without one. failing: why
    a pair cannot be scored as things are; a score that it has is from before."""

    comparison: Comparison
    scores: Mapping[str, StoredScore]
    missing: tuple[str, ...]
    failing: Mapping[str, Noted]

    @property
    def version(self) -> str:
        """Of which pairs there are, what they are called, their scores, and which of those are from before."""
        return _version(self.comparison, {key: each.version for key, each in self.scores.items()}, self.failing)

    def from_before(self, key: str) -> str:
        """Why a pair's score may no longer be true, "" where it is for what is there now."""
        return self.failing[key].reason if key in self.failing and key in self.scores else ""

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


def comparison_version(workspace: Workspace, comparison: Comparison, failures: Failures) -> str:
    """The version of a comparison's matrix without reading a score. Raises StoreError."""
    return _version(comparison, found_versions(workspace.home, comparison), _failing(workspace, comparison, failures))


def found_versions(home: Path, comparison: Comparison) -> dict[str, str]:
    """The versions of the scores that a comparison's pairs have now, none of them read; pairs without are left out."""
    return {key: version for key in comparison.pairs if (version := current_version(home, key)) is not None}


def scored_versions(home: Path, comparison: Comparison) -> dict[str, str]:
    """The same. Raises StoreError where no pair has a score yet."""
    found = found_versions(home, comparison)
    if not found:
        raise StoreError(_unscored(comparison))
    return found


def _version(comparison: Comparison, scores: Mapping[str, str], failing: Mapping[str, Noted]) -> str:
    labels: list[Plain] = [[key, *comparison.labels[key]] for key in comparison.pairs]
    found: list[Plain] = [[key, version] for key, version in scores.items()]
    said: list[Plain] = [[key, each.reason] for key, each in failing.items()]
    return digest_of([MATRIX_VERSION, PLOTS_VERSION, comparison.name, comparison.kind, labels, found, said])


def _failing(workspace: Workspace, comparison: Comparison, failures: Failures) -> dict[str, Noted]:
    pairs = workspace.catalog.pairs
    return {key: found for key in comparison.pairs if (found := failures.behind(pairs[key])) is not None}


def is_built(home: Path, name: str, version: str) -> bool:
    """Whether the table and heat maps of exactly this version are there."""
    folder = matrix_folder(home, name, version)
    return (folder / TABLE).is_file() and has_pictures(folder)


def scored_comparison(workspace: Workspace, name: str) -> ScoredComparison:
    """The current scores of a comparison. Raises UnknownNameError; StoreError where no pair has a score yet."""
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    found = {key: current_score(workspace.home, key) for key in comparison.pairs}
    scores = in_family({key: score for key, score in found.items() if score is not None})
    if not scores:
        raise StoreError(_unscored(comparison))
    return ScoredComparison(
        comparison=comparison,
        scores=scores,
        missing=tuple(key for key, score in found.items() if score is None),
        failing=_failing(workspace, comparison, Failures(workspace.home)),
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
    failing: Mapping[str, Noted] = _failing(workspace, comparison, Failures(workspace.home))
    version = _version(comparison, scores, failing)
    folder = matrix_folder(workspace.home, name, version)
    pictures = read_pictures(folder)
    computed = pictures is None or not (folder / TABLE).is_file()
    if pictures is None or computed:
        scored = scored_comparison(workspace, name)
        version, failing = scored.version, scored.failing
        scores = dict.fromkeys(scored.scores, "")  # a damaged score counts as none
        folder = matrix_folder(workspace.home, name, version)
        drawn = _drawn(scored)
        write_frame(folder / TABLE, tidy(scored))
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
            "failing": len(failing),
            **({"lowest": min(values), "highest": max(values), "mean": sum(values) / len(values)} if values else {}),
        },
        texts={"title": comparison.title, **_failing_text(failing, scores)},
        rows=LateRows(lambda: _rows(scored_comparison(workspace, name))[:MOST_ROWS_SHOWN]),
        pictures=pictures,
    )


def _failing_text(failing: Mapping[str, Noted], scored: Collection[str]) -> dict[str, str]:
    """The pairs that cannot be scored at present, for the UI: which, since when, and why."""
    lines = [
        f"- `{key}`, {'score from before' if key in scored else 'no score'}, since {each.at}: {each.reason}"
        for key, each in list(failing.items())[:MOST_ROWS_SHOWN]
    ]
    return {"cannot_be_scored": "\n".join(["These pairs cannot be scored as things are:", "", *lines])} if lines else {}


def matrix_folder(home: Path, name: str, version: str) -> Path:
    """Where one version of a comparison's table and heat maps is."""
    return home / "matrices" / name / version[:VERSION_DIGITS]


def tidy(scored: ScoredComparison) -> pl.DataFrame:
    """One row a pair and metric: comparison, pair, reference, candidate, encoder, metric, value, low, high, null,
    p_value, p_adjusted (Benjamini–Hochberg), p_holm, tests, verdict, images_needed, status, reason, score_version,
    from_before.

    The headline is the metric `similarity`; it alone has a test and a verdict. p_adjusted and p_holm are over the
    `tests` of this comparison. from_before: why a score may no longer be true, null where it is for what is there now.
    """
    import polars as pl

    rows: list[tuple[object, ...]] = []
    nothing = (None,) * 6
    for key, score in scored.scores.items():
        found = score.comparison
        tail = (score.version, scored.from_before(key) or None)
        head = (scored.comparison.name, key, found.reference.name, found.candidate.name, found.encoder)
        interval = (None, None) if found.similarity is None else found.similarity.interval
        end = (found.status, found.reason, *tail)
        rows.append((*head, "similarity", found.value, *interval, None, *_tested(found), *end))
        for name, value in sorted(found.metrics.items()):
            low, high = value.interval or (None, None)
            end = (value.status, value.reason, *tail)
            rows.append((*head, name, value.value, low, high, value.null, *nothing, *end))
    text, number = pl.String, pl.Float64
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(
        ("comparison", "pair", "reference", "candidate", "encoder", "metric"), text
    )
    schema |= dict.fromkeys(("value", "low", "high", "null", "p_value", "p_adjusted", "p_holm"), number)
    schema |= {"tests": pl.Int64, "verdict": text, "images_needed": pl.Int64}
    schema |= dict.fromkeys(TAIL, text)
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
                "from_before": scored.from_before(key) or None,
            }
        )
    return sorted(rows, key=lambda row: -1.0 if row["similarity"] is None else float(row["similarity"]), reverse=True)
