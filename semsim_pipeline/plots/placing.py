"""Small images on a map: beside their points, over as few others as can be, never over each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

STEPS_ASIDE = (44.0, 64.0, 86.0)
DIRECTIONS = 12
LEAST_BETWEEN_POINTS = 40.0
INSET = 8
"""Pixels between a box and the field's edge."""
DOT = 6.0
"""Half a mark, in pixels: a point so far from a box is not covered by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """point: index of the point that the image belongs to. corner: top left pixel of the box, its frame included."""

    point: int
    corner: tuple[int, int]


def place_beside(points: Points, order: Iterable[int], box: int, field: tuple[int, int], most: int) -> list[Placed]:
    """Boxes for the first `most` points of `order` that get one.

    points: [k, 2] in pixels. box: width and height. field: width and height that boxes stay within. A box goes where
    it covers the fewest points, the nearest such place first; points whose every place is taken go without.
    """
    taken: list[Placed] = []
    corners_taken, points_taken = np.empty((0, 2)), np.empty((0, 2))
    for index in order:
        if len(taken) == most:
            break
        point = points[index]
        if taken and (np.abs(points_taken - point).max(axis=1) < LEAST_BETWEEN_POINTS).any():
            continue
        if _covers(corners_taken, point[None], box).any():
            continue
        corners = _corners(point, box, field)
        apart = np.abs(corners[:, None] - corners_taken[None]).max(axis=2)
        touching = (apart < box + DOT).any(axis=1)
        free = corners[~touching & ~_covers(corners, points_taken, box).any(axis=1)]
        if len(free):
            best = free[int(np.argmin(_covers(free, points, box).sum(axis=1)))]
            taken.append(Placed(point=index, corner=(int(best[0]), int(best[1]))))
            corners_taken = np.concatenate([corners_taken, best[None]])
            points_taken = np.concatenate([points_taken, point[None]])
    return taken


def _corners(point: Points, box: int, field: tuple[int, int]) -> Points:
    """Whole pixels [c, 2]: on the point itself, then around it, nearest first; all well within the field."""
    corners = np.round(point + ASIDE - box / 2)
    within = (corners >= INSET).all(axis=1) & (corners <= np.array(field) - box - INSET).all(axis=1)
    out: Points = corners[within]
    return out


def _covers(corners: Points, points: Points, box: int) -> NDArray[np.bool_]:
    """bool [c, k]: whether the box at a corner covers (a part of the mark at) a point."""
    offset = points[None] - corners[:, None]
    out: NDArray[np.bool_] = np.abs(offset - box / 2).max(axis=2) < box / 2 + DOT
    return out


def _aside() -> Points:
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.concatenate([np.zeros((1, 2)), *(distance * ring for distance in STEPS_ASIDE)])


ASIDE = _aside()
"""Where a box's middle may lie, seen from its point."""
