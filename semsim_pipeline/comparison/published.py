"""Ours beside what others published: the same quantity, its difference, and whether it is the same result."""

from __future__ import annotations

from dataclasses import dataclass

from semsim_pipeline.catalog import Published
from semsim_pipeline.comparison.results import Comparison

HEADLINE = "similarity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A published value and ours; None where ours could not be computed."""

    published: Published
    ours: float | None

    @property
    def difference(self) -> float | None:
        """Ours less theirs."""
        return None if self.ours is None else self.ours - self.published.value

    @property
    def agrees(self) -> bool:
        """Whether ours is there and within the tolerance."""
        return self.difference is not None and abs(self.difference) <= self.published.tolerance

    @property
    def text(self) -> str:
        """`mean_cosine 0.827, ours 0.831 (+0.004)`."""
        theirs = f"{self.published.metric} {self.published.value:g}"
        if self.ours is None or self.difference is None:
            return f"{theirs}, ours –"
        mark = "" if self.agrees else f", beyond ± {self.published.tolerance:g}"
        return f"{theirs}, ours {self.ours:.3f} ({self.difference:+.3f}{mark})"


def beside(published: Published, found: Comparison) -> Beside:
    """The published value with the same quantity of a scored pair."""
    if published.metric == HEADLINE:
        return Beside(published=published, ours=found.value)
    value = found.metrics.get(published.metric)
    return Beside(published=published, ours=None if value is None else value.value)
