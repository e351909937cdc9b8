"""The page of a whole comparison (many pairs): what was found, a heat map, every pair with its score card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semsim_pipeline.comparison.matrix import SimilarityMatrix
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.report.files import json_text
from semsim_pipeline.report.headline import headline_of
from semsim_pipeline.report.meaning import meanings
from semsim_pipeline.report.page import write_page
from semsim_pipeline.report.templating import Item, environment, item_of

MOST_WITH_ALL_PICTURES = 60
EACH_END = 12
HEADLINE_METRIC = "similarity"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPage:
    """One pair of a comparison. key: its anchor. digests: name to digest (manifests, score version), shown as given.
    from_before: why the score may no longer be true, "" where it is for what is there now. published: what others found
    beside it, "" where nobody published it."""

    key: str
    comparison: Comparison
    pictures: Sequence[Picture] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    from_before: str = ""
    published: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """All that the page shows. command: repeats it exactly. digests: of what all pairs share, shown as given.
    missing: keys of pairs without any score, and why, "" where nothing failed. publishers: whose values stand beside
    ours, in words."""

    name: str
    title: str
    description: str
    command: str
    matrices: Sequence[SimilarityMatrix]
    pairs: Sequence[PairPage]
    heatmaps: Sequence[Picture]
    digests: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    publishers: Sequence[str] = ()

    def __post_init__(self) -> None:
        keys = [pair.key for pair in self.pairs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{self.name}: two pairs of one key cannot both be found on a page")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A pair as the template takes it. n: the smaller side's, by which the table sorts."""

    page: PairPage
    item: Item
    n: int


def write_comparison_report(report: ComparisonReport, folder: Path) -> Path:
    """Write `index.html` and `comparison.json` (a list, or the one pair's object); returns the page's path.

    Raises WorkError where the folder cannot be written.
    Memory: the page as text; a picture takes 4/3 of its PNG.
    """
    numbers = json_text([pair.comparison for pair in report.pairs])
    return write_page(render_comparison(report), numbers, folder)


def render_comparison(report: ComparisonReport) -> str:
    """The page as text. Everything that came from outside (names, reasons, digests) is escaped.

    With more than 60 pairs only the 12 most and the 12 least similar of each encoder bring their pictures.
    """
    ordered = _ordered(report.pairs)
    illustrated = _illustrated(ordered)
    rows = [
        _Row(
            page=pair,
            item=item_of(pair.comparison, pair.pictures if pair.key in illustrated else ()),
            n=min(pair.comparison.reference.n, pair.comparison.candidate.n),
        )
        for pair in ordered
    ]
    names = {HEADLINE_METRIC, *(name for pair in report.pairs for name in pair.comparison.metrics)}
    origins = {_scale(pair.comparison): pair.comparison for pair in ordered}
    return (
        environment()
        .get_template("catalogue.html.jinja")
        .render(
            report=report,
            rows=rows,
            headlines=[headline_of(matrix) for matrix in report.matrices],
            several=len({pair.comparison.encoder for pair in report.pairs}) > 1,
            left_out=len(rows) - len(illustrated) if len(rows) > MOST_WITH_ALL_PICTURES else 0,
            most=EACH_END,
            metrics=meanings(names),
            origins=list(origins.values()),
        )
    )


def _scale(comparison: Comparison) -> tuple[str, str]:
    """What scores must share to be ranked together."""
    background = comparison.background
    return comparison.encoder_fingerprint or comparison.encoder, "" if background is None else background.id


def _ordered(pairs: Sequence[PairPage]) -> list[PairPage]:
    """Encoder by encoder as they first come, most similar first, those without a score last."""
    encoders = list(dict.fromkeys(pair.comparison.encoder for pair in pairs))

    def place(pair: PairPage) -> tuple[int, bool, float]:
        value = pair.comparison.value
        return encoders.index(pair.comparison.encoder), value is None, -(value or 0.0)

    return sorted(pairs, key=place)


def _illustrated(ordered: Sequence[PairPage]) -> set[str]:
    """Keys of the pairs whose pictures are shown."""
    if len(ordered) <= MOST_WITH_ALL_PICTURES:
        return {pair.key for pair in ordered}
    by_encoder: defaultdict[str, list[str]] = defaultdict(list)
    for pair in ordered:
        if pair.comparison.value is not None:
            by_encoder[pair.comparison.encoder].append(pair.key)
    return {key for keys in by_encoder.values() for key in (*keys[:EACH_END], *keys[-EACH_END:])}
