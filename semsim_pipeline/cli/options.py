"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def seed_option(function: F) -> F:
    """--seed: of the sample that --limit draws, of permutation and split halves."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random draw."
    )(function)


def json_option(function: F) -> F:
    """--json FILE, or `-` for stdout, which then carries nothing but the JSON."""
    return click.option(
        "--json", "json_to", metavar="FILE|-", help="Write the result as JSON; `-` writes it to stdout and no table."
    )(function)


def metrics_option(function: F) -> F:
    """--metrics a,b: the rows of the score card to compute; the headline is always there."""
    return click.option(
        "--metrics", metavar="A,B", callback=_names, help="Only these rows of the score card (`semsim list metrics`)."
    )(function)


def clusters_option(function: F) -> F:
    """--clusters: the matching of classes without labels."""
    return click.option(
        "--clusters", is_flag=True, help="Where there are no labels, find clusters on both sides and match those."
    )(function)


def limit_option(function: F) -> F:
    """--limit N: a fair, seeded sample of N images a side."""
    return click.option(
        "--limit", type=click.IntRange(min=1), help="At most N images a side: a fair sample, the same for one seed."
    )(function)


def workers_option(function: F) -> F:
    """--workers N: processes that embed."""
    return click.option(
        "--workers", type=click.IntRange(min=1), help="Processes that embed [default: what suits the encoder]."
    )(function)


def quiet_option(function: F) -> F:
    """--quiet: no progress on stderr."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")(function)


def fail_under_option(function: F) -> F:
    """--fail-under X: exit code 1 below X, for use in CI."""
    return click.option(
        "--fail-under",
        type=click.FloatRange(0, 1),
        callback=_finite,
        metavar="X",
        help="Exit with 1 where a score is below X or has no value.",
    )(function)


def _finite(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """NaN passes click's range, and nothing is below NaN: a gate that never closes."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("give a number from 0 to 1")
    return value


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("name at least one metric, such as --metrics kid,precision")
    return names
