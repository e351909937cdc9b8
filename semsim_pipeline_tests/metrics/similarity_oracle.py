"""The headline written down as slowly and plainly as METRICS defines it: loops over pairs of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OracleMeans:
    ab: float
    aa: float
    bb: float

    @property
    def similarity(self) -> float:
        return 2 * self.ab / (self.aa + self.bb)


def kernel_means(
    a: np.ndarray,
    b: np.ndarray,
    s2: float,
    *,
    content_a: Sequence[object],
    content_b: Sequence[object],
    group_a: Sequence[str | None],
    group_b: Sequence[str | None],
    weight_a: Sequence[int] | None = None,
    weight_b: Sequence[int] | None = None,
) -> OracleMeans:
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    weight_a = [1] * len(a) if weight_a is None else weight_a
    weight_b = [1] * len(b) if weight_b is None else weight_b

    def mean(x, y, content_x, content_y, group_x, group_y, weight_x, weight_y, same):
        total = weight = 0.0
        for i in range(len(x)):
            for j in range(len(y)):
                if same and i == j:
                    continue
                if content_x[i] == content_y[j]:
                    continue
                if group_x[i] is not None and group_x[i] == group_y[j]:
                    continue
                w = weight_x[i] * weight_y[j]
                total += w * math.exp(-float(((x[i] - y[j]) ** 2).sum()) / s2)
                weight += w
        return total / weight

    return OracleMeans(
        ab=mean(a, b, content_a, content_b, group_a, group_b, weight_a, weight_b, False),
        aa=mean(a, a, content_a, content_a, group_a, group_a, weight_a, weight_a, True),
        bb=mean(b, b, content_b, content_b, group_b, group_b, weight_b, weight_b, True),
    )
