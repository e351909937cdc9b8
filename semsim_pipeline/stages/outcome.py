"""What every stage returns: which version of its result is there now, whether it was computed, and facts to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    from semsim_pipeline.plots.base import Picture
    from semsim_pipeline.stages.checks.records import CheckResult

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


class LateRows(Sequence[Row]):
    """A table that is made when it is first looked at: of what is unchanged nobody looks at it."""

    def __init__(self, make: Callable[[], Sequence[Row]]) -> None:
        """make: called once, at most."""
        self._make = make
        self._made: Sequence[Row] | None = None

    def __len__(self) -> int:
        return len(self._rows())

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        return self._rows()[place]

    def _rows(self) -> Sequence[Row]:
        if self._made is None:
            self._made = self._make()
        return self._made


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One partition of one stage, up to date.

    version: hash of everything that the result depends on; equal versions, equal results. computed: False for a hit.
    numbers: measured values, plotted over time by Dagster. texts: facts in words (Markdown). rows: a table.
    row_count: of the data behind it. path: what was written. pictures: previews, the most telling first. checks: what
    the quality gates say, where somebody asked them.
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
    pictures: Sequence[Picture] = ()
    checks: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One partition that could not be brought up to date. upstream: the failed partition that it waits for, if any.
    checks: of a comparison, which pairs are behind."""

    stage: Stage
    partition: str
    error: Exception
    upstream: str | None = None
    checks: tuple[CheckResult, ...] = ()

    @property
    def reason(self) -> str:
        """One line for a person."""
        return str(self.error).strip().splitlines()[0] if str(self.error).strip() else type(self.error).__name__
