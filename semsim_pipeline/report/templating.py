"""The templates' environment, and a comparison as the templates take it: every number checked, nothing yet escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from semsim_pipeline.comparison.words import (
    agreement_lines,
    classes_lines,
    evidence,
    gaussians_line,
    interval_text,
    number,
    ordered_metrics,
    p_value_text,
    said_of,
)
from semsim_pipeline.metrics.base import MetricFacts
from semsim_pipeline.records import MetricValue
from semsim_pipeline.report.scale import Scale, scale_of

if TYPE_CHECKING:
    from jinja2 import Environment

    from semsim_pipeline.comparison.results import Comparison
    from semsim_pipeline.plots.base import Picture

DRAWN_BY_THE_PAGE = "scale"
"""The one picture that a page draws itself, in its own colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a score card."""

    facts: MetricFacts
    value: MetricValue
    interval: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One comparison with all that a template says of it. interval, floor, tested (the p-values): empty where there is
    none to show. said: what its classes and the other encoders tell, a line each. gaussians: why matched classes lack
    their Fréchet distance, where they do."""

    result: Comparison
    scale: Scale | None
    tested: str
    evidence: str
    interval: str
    floor: str
    rows: tuple[Row, ...]
    pictures: tuple[Picture, ...]
    said: tuple[str, ...] = ()
    gaussians: str | None = None


def item_of(result: Comparison, pictures: Sequence[Picture] = ()) -> Item:
    """A comparison and its pictures for a template."""
    found = result.similarity
    interval = floor = ""
    if found is not None:
        low, high = found.interval
        interval = f"{low:.3f} to {high:.3f}" if math.isfinite(low) and math.isfinite(high) else ""
        floor = f"{found.floor:.3f}" if found.floor is not None and math.isfinite(found.floor) else ""
    return Item(
        result=result,
        scale=scale_of(result),
        tested=p_value_text(result),
        evidence=evidence(result),
        interval=interval,
        floor=floor,
        rows=tuple(
            Row(facts=facts, value=value, interval=interval_text(value), said=said_of(facts, value))
            for facts, value in ordered_metrics(result)
        ),
        said=(*classes_lines(result), *agreement_lines(result)),
        gaussians=None if result.classes is None else gaussians_line(result.classes),
        pictures=tuple(picture for picture in pictures if picture.name != DRAWN_BY_THE_PAGE),
    )


def data_uri(picture: Picture) -> str:
    """A picture inside the page itself."""
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"


@cache
def environment() -> Environment:
    """Escapes everything by itself; an unknown name in a template is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("semsim_pipeline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = number
    made.filters["data_uri"] = data_uri
    return made
