"""What a metric is: facts as data, one function from a pair to named values, a registry filled by its modules.

To add a metric: one file here that builds a `MetricFamily` and adds it to `METRICS`. CLI choices, docs tables and
the contract tests follow from the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import Embeddings, check_embeddings, check_same_width, unit_rows
from semsim_pipeline.errors import InvalidEmbeddingsError
from semsim_pipeline.records import Background, MetricValue
from semsim_pipeline.registry import Registry

Cost = Literal["one pass", "blocks", "neighbours", "subsample"]
Group = Literal[
    "headline",
    "location",
    "distribution",
    "shape",
    "diversity",
    "transport",
    "support",
    "proximity",
    "separability",
    "leakage",
]

DEFAULT_WORKING_MEMORY = 64 << 20
DEFAULT_PERMUTATIONS = 999
Z_95 = 1.959963984540054
"""Standard errors either side of an estimate that make a 95 % interval."""
NO_GROUP = np.uint64(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """What a user and a contract test need to know of one value.

    symmetric: exchanging the sides leaves it unchanged. higher_is_closer: None where neither direction is closer.
    range: closed bounds, ±inf where open. at_identity: the value of a set against itself, None where it depends on n.
    rotation_invariant: unchanged when both sides are rotated together. min_samples: images needed on each side.
    needs: other inputs than rows (`background`, `content`). meaning: one line for someone who did not study
    statistics. source: the paper. no_null: why the value never stands beside what equal distributions would show.
    """

    name: str
    group: Group
    cost: Cost
    symmetric: bool
    higher_is_closer: bool | None
    range: tuple[float, float]
    at_identity: float | None
    rotation_invariant: bool
    min_samples: int
    meaning: str
    source: str
    needs: tuple[str, ...] = ()
    no_null: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """One column of labels. codes: intp [n], a row's place in `names` (sorted, each used), -1 where it has none."""

    names: tuple[str, ...]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Labels:
        """From one value a row."""
        known = np.array([value is not None for value in values], dtype=np.bool_)
        names, inverse = np.unique(np.array([v for v in values if v is not None], dtype=np.str_), return_inverse=True)
        codes = np.full(len(values), -1, np.intp)
        codes[known] = inverse.reshape(-1)
        return cls(names=tuple(str(name) for name in names), codes=codes)

    def take(self, rows: NDArray[np.intp]) -> Labels:
        """Those of some rows; names that none of them has are left out."""
        codes = self.codes[rows]
        used, inverse = np.unique(codes[codes >= 0], return_inverse=True)
        taken = np.full(len(codes), -1, np.intp)
        taken[codes >= 0] = inverse.reshape(-1)
        return Labels(names=tuple(self.names[code] for code in used), codes=taken)

    @property
    def classes(self) -> int:
        """How many different values there are."""
        return len(self.names)


class EmbeddedSet:
    """One side of a comparison: its rows, who is whose twin, and every statistic that its pairs share.

    Statistics are computed on first use and kept, so that a set opened once serves all its pairs.
    Memory: n·d·itemsize for the rows, as much again for the unit rows once a cosine or kernel is asked for.
    """

    def __init__(  # noqa: PLR0913 - what is known of one side, all but the rows optional
        self,
        name: str,
        rows: NDArray[np.generic],
        *,
        content: NDArray[np.uint64] | None = None,
        groups: Sequence[str | None] | None = None,
        failed: int = 0,
        hashes: NDArray[np.uint64] | None = None,
        labels: Mapping[str, Labels] | None = None,
    ) -> None:
        """rows [n, d]; content: one code per image, equal for equal content (default: equal rows, bit by bit);
        groups: images of one group (a video, a burst) are not independent; None where an image has none.
        hashes: perceptual hashes uint64 [n, w], zeros for an image without one; None without images.
        labels: by column, in the source's order.

        Raises InvalidEmbeddingsError.
        """
        self.name = name
        self.failed = failed
        self.rows: Embeddings = check_embeddings(name, rows)
        self._content = content
        self.group_codes: NDArray[np.uint64] | None = None
        if groups is not None and any(group is not None for group in groups):
            self.group_codes = np.array([NO_GROUP if g is None else code_of(g.encode()) for g in groups], np.uint64)
        self.hashes = hashes
        self.labels: Mapping[str, Labels] = labels or {}
        for what, found in (("content codes", content), ("groups", groups), ("hashes", hashes)):
            if found is not None and len(found) != len(self.rows):
                raise ValueError(f"{name}: {len(found)} {what} for {len(self.rows)} rows")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """d, the width of a row."""
        return int(self.rows.shape[1])

    @cached_property
    def unit(self) -> Embeddings:
        """Rows of Euclidean length 1, [n, d]. Raises InvalidEmbeddingsError on a zero row."""
        try:
            return unit_rows(self.rows)
        except InvalidEmbeddingsError as error:
            raise InvalidEmbeddingsError(f"{self.name}: {error}") from error

    def take(self, rows: NDArray[np.intp]) -> EmbeddedSet:
        """Some of the images as a set of their own, with all that is known of them. Memory: a copy of the rows."""
        part = EmbeddedSet(self.name, self.rows[rows], failed=self.failed)
        codes = self.content_codes[rows]
        if self.has_content:
            part._content = codes
        else:
            part.content_codes = codes
        if self.group_codes is not None:
            part.group_codes = self.group_codes[rows]
        if self.hashes is not None:
            part.hashes = self.hashes[rows]
        part.labels = {column: labels.take(rows) for column, labels in self.labels.items()}
        return part

    def unit_at(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float64]:
        """Some unit rows in float64. Raises InvalidEmbeddingsError on a zero row, with its number in the set."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows
        try:
            return np.asarray(unit_rows(self.rows[rows].astype(np.float64), numbers=numbers))
        except InvalidEmbeddingsError as error:
            raise InvalidEmbeddingsError(f"{self.name}: {error}") from error

    @property
    def has_content(self) -> bool:
        """Codes of the images' content were given, so that equal codes name one image under any encoder."""
        return self._content is not None

    @cached_property
    def content_codes(self) -> NDArray[np.uint64]:
        """uint64 [n]: equal where the images' content (or, for ready embeddings, the rows' bits) are equal."""
        if self._content is not None:
            return self._content
        # As float64, so that float32 rows and their float64 copies are equal; adding zero turns -0.0 into 0.0, so that
        # rows that compare equal are equal bit by bit.
        return np.array([code_of((row.astype(np.float64) + 0.0).tobytes()) for row in self.rows], np.uint64)

    @cached_property
    def memo(self) -> dict[tuple[str, ...], object]:
        """A place for statistics that one module shares between pairs (own-set radii, moments); keyed by module."""
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """What a metric gets: two sides of equal width, the encoder's background, a seed and a byte budget."""

    reference: EmbeddedSet
    candidate: EmbeddedSet
    background: Background | None = None
    seed: int = 0
    permutations: int = DEFAULT_PERMUTATIONS
    working_memory: int = DEFAULT_WORKING_MEMORY

    def __post_init__(self) -> None:
        check_same_width(self.reference.rows, self.candidate.rows)
        if self.permutations < 1:
            raise ValueError(f"a p-value needs at least one permutation; found {self.permutations}")

    @cached_property
    def memo(self) -> dict[tuple[str, ...], object]:
        """Results that several families of this pair need (the headline and its verdict do); keyed by module."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """Metrics that come out of one computation (precision and recall do). `compute` returns a value per name in
    `facts`; it may raise TooFewSamplesError, UndefinedMetricError or InvalidEmbeddingsError: the score card then
    shows every row of the family as not computed, with that text."""

    name: str
    facts: tuple[MetricFacts, ...]
    compute: Callable[[Pair], Mapping[str, MetricValue]]


METRICS: Registry[MetricFamily] = Registry("metric family", "semsim_pipeline.metrics")


def code_of(content: bytes) -> np.uint64:
    """A 64-bit code of some bytes, never `NO_GROUP`; two different contents share one with probability 5e-20."""
    import hashlib

    return np.uint64(int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") or 1)


def metric_facts() -> dict[str, MetricFacts]:
    """Every metric's facts by name, over all families."""
    return {facts.name: facts for family in METRICS for facts in family.facts}
