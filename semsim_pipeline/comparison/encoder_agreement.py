"""Several encoders on one pair: how far they agree on each side's images, and what that says of their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from semsim_pipeline.comparison.encoder_pairs import EncoderPair, SideAgreement
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.selected import SelectedView
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.errors import InvalidEmbeddingsError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.agreement import DEFAULT_K, encoder_agreement
from semsim_pipeline.metrics.verdict import BANDS
from semsim_pipeline.seeding import generator

MOST_IMAGES = 4000
"""Images of a side that encoders are compared on, a seeded sample: neighbours among more cost n² and say the same."""

NEAR_CHANCE = 2.0
"""Times the shared neighbours that chance gives, below which two encoders have no more than that in common."""

CAPTIONS = "open_clip"
"""Family of the encoders that were trained to match pictures with captions."""

BAND_NAMES = [name for _, name in BANDS]


def agreements(
    comparisons: Sequence[Comparison],
    views: Sequence[tuple[SelectedView, SelectedView]],
    families: Sequence[str],
    home: Path,
    seed: int,
) -> list[tuple[EncoderPair, ...]]:
    """What each encoder has to do with the others: a tuple for each comparison, empty where there is one encoder.

    comparisons: of one pair of datasets, one for each encoder, in the order of `views` (reference, candidate) and
    `families`. Images are paired by content; those that one encoder could not embed are left out.
    Raises StoreError. Memory: 4,000 images under two encoders at a time. Cost: two products of 4,000² a side.
    """
    found: list[list[EncoderPair]] = [[] for _ in comparisons]
    for i, j in combinations(range(len(comparisons)), 2):
        if comparisons[i].encoder_fingerprint == comparisons[j].encoder_fingerprint:
            continue
        sides = [_side(home, views[i][side], views[j][side], seed) for side in (0, 1)]
        for one, other in ((i, j), (j, i)):
            said = _meaning((comparisons[one], comparisons[other]), (families[one], families[other]), sides)
            found[one].append(
                EncoderPair(other=comparisons[other].encoder, reference=sides[0], candidate=sides[1], meaning=said)
            )
    return [tuple(each) for each in found]


def _side(home: Path, one: SelectedView, other: SelectedView, seed: int) -> SideAgreement:
    """The agreement on the images that both encoders embedded, each content once."""
    both = one.rows.select("image_id").unique(maintain_order=True)
    both = both.join(other.rows.select("image_id"), on="image_id", how="semi", maintain_order="left")
    ids = both["image_id"].sort()
    chosen = ids
    if len(ids) > MOST_IMAGES:
        rng = generator(seed, "encoder_agreement")
        chosen = ids.gather(np.sort(rng.choice(len(ids), MOST_IMAGES, replace=False)))
    order = pl.DataFrame({"image_id": chosen})
    sets = []
    for view in (one, other):
        rows = order.join(
            view.rows.unique("image_id", keep="first", maintain_order=True), on="image_id", how="left",
            maintain_order="left",
        )  # fmt: skip
        sets.append(open_sets(home, {"side": replace(view, rows=rows.select(view.rows.columns))})["side"])
    try:
        return SideAgreement(found=encoder_agreement(sets[0], sets[1]), of=len(ids))
    except (TooFewSamplesError, UndefinedMetricError, InvalidEmbeddingsError) as refusal:
        return SideAgreement(found=None, of=len(ids), reason=str(refusal))


def _meaning(pair: tuple[Comparison, Comparison], families: tuple[str, str], sides: Sequence[SideAgreement]) -> str:
    """One sentence or two; nothing that was not measured."""
    one, other = pair
    measured = [side.found for side in sides if side.found is not None]
    if not measured:
        return f"{one.encoder} and {other.encoder}: agreement not computed: {sides[0].reason}."
    shared = float(np.mean([found.mutual_knn for found in measured]))
    chance = float(np.mean([found.mutual_knn_null for found in measured]))
    cka = float(np.mean([found.linear_cka for found in measured]))
    head = (
        f"{one.encoder} and {other.encoder} share {shared:.0%} of an image's {DEFAULT_K} nearest neighbours "
        f"({chance:.1%} by chance), linear CKA {cka:.2f}"
    )
    if shared < NEAR_CHANCE * chance:
        return f"{head}: they see different things in these images, so their scores need not agree."
    return f"{head}; {_verdicts(one, other, families)}."


def _verdicts(one: Comparison, other: Comparison, families: tuple[str, str]) -> str:
    if one.verdict.text not in BAND_NAMES or other.verdict.text not in BAND_NAMES:
        return "not both name a band of similarity, so there are no verdicts to set side by side"
    if one.verdict.text == other.verdict.text:
        return f"both say {one.verdict.text!r}"
    ranked = sorted(
        (
            (BAND_NAMES.index(each.verdict.text), each, family)
            for each, family in zip((one, other), families, strict=True)
        ),
        key=lambda each: each[0],
    )
    (_, closer, closer_family), (_, farther, farther_family) = ranked
    said = (
        f"{closer.encoder} says {closer.verdict.text!r} and {farther.encoder} {farther.verdict.text!r}: what sets the "
        f"datasets apart is something that {farther.encoder} sees and {closer.encoder} hardly does"
    )
    if closer_family == CAPTIONS != farther_family and ranked[0][0] <= 1:
        said += f"; as {closer.encoder} learned from captions, it is rather style or detail than what is shown"
    return said
