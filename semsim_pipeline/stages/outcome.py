"""What every stage returns: which version of its result is there now, whether it was computed, and facts to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from semsim_pipeline.plots.base import Picture

Stage = Literal["dataset_manifest", "embeddings", "pair_metrics", "pair_plots", "similarity_matrix", "report"]
STAGES: tuple[Stage, ...] = (
    "dataset_manifest",
    "embeddings",
    "pair_metrics",
    "pair_plots",
    "similarity_matrix",
    "report",
)
"""In the order in which data flows."""

Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One partition of one stage, up to date.

    version: hash of everything that the result depends on; equal versions, equal results. computed: False for a hit.
    numbers: measured values, plotted over time by Dagster. texts: facts in words (Markdown). rows: a table.
    row_count: of the data behind it. path: what was written. pictures: previews, the most telling first.
    """

    stage: Stage
    partition: str
    version: str
    computed: bool
    seconds: float
    path: Path
    numbers: Mapping[str, float | int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    row_count: int | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One partition that could not be brought up to date. upstream: the failed partition that it waits for, if any."""

    stage: Stage
    partition: str
    error: Exception
    upstream: str | None = None

    @property
    def reason(self) -> str:
        """One line for a person."""
        return str(self.error).strip().splitlines()[0] if str(self.error).strip() else type(self.error).__name__
