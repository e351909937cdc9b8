"""From two sets of embeddings to a comparison: the score card, the headline, and its verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np

from semsim_pipeline.comparison.results import Comparison, SideSummary
from semsim_pipeline.errors import InvalidEmbeddingsError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.class_table import ClassTable, class_table
from semsim_pipeline.metrics.score_card import score_card, select
from semsim_pipeline.metrics.similarity import Similarity, similarity_of
from semsim_pipeline.metrics.units import layout_of, own_units
from semsim_pipeline.metrics.verdict import TOO_DIVERSE, Verdict, verdict_of
from semsim_pipeline.records import Background, MetricValue

HEADLINE = "similarity"
VERDICT_METRICS = ("knn_mixing", "c2st_auc")
"""What the verdict looks at beside the headline; computed even where they were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderIdentity:
    """Who made the embeddings: a name and a fingerprint, and the encoder's background where it has one."""

    name: str
    fingerprint: str
    background: Background | None


def assess(  # noqa: PLR0913 - plain keywords, each of one question
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    encoder: EncoderIdentity,
    *,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    permutations: int = 999,
    clusters: bool = False,
) -> Comparison:
    """Score one pair.

    metrics: names or families, None for the whole card, which includes the table of classes where both sides have
    labels; the headline is always there. clusters: where they have none, match clusters.
    Raises: DimensionMismatchError, UnknownNameError. Too few images make rows `not_computed`, never an error.
    Memory: that of the dearest metric; see the modules of `metrics`.
    """
    pair = Pair(
        reference=reference, candidate=candidate, background=encoder.background, seed=seed, permutations=permutations
    )
    with _one_thread_a_product():
        return _assessed(pair, encoder, metrics, clusters=clusters)


def _one_thread_a_product() -> AbstractContextManager[object]:
    """One thread for each product, of which `metrics.blocks` makes several at once. A BLAS with several spends most of
    its time waiting for them on small matrices (2.7 CPU-seconds for a card of 1,000 by 1,000 images, 0.7 with one), and
    makes one large product at a time. So a pair scores the same however many cores it is scored on."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


def _assessed(pair: Pair, encoder: EncoderIdentity, metrics: Sequence[str] | None, *, clusters: bool) -> Comparison:
    reference, candidate = pair.reference, pair.candidate
    wanted = _wanted(metrics)
    card = score_card(pair, wanted) if wanted is None or wanted else {}
    headline, reason = _headline(pair)
    verdict = _verdict(pair, headline, card)
    # One number says nothing there, so the mean over what can be compared takes its place, whatever was asked for.
    needed = verdict.text == TOO_DIVERSE
    classes, why = None, None
    if headline is not None and (metrics is None or clusters or needed):
        classes, why = _classes(pair, headline, clusters=clusters or needed)
    return Comparison(
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        background=encoder.background if headline is None else headline.background,
        seed=pair.seed,
        version=version("semsim-pipeline"),
        reference=SideSummary(name=reference.name, n=len(reference), failed=reference.failed),
        candidate=SideSummary(name=candidate.name, n=len(candidate), failed=candidate.failed),
        overlap=layout_of(reference, candidate).overlap if headline is None else headline.overlap,
        similarity=headline,
        verdict=with_mean(verdict, classes, why) if needed else verdict,
        reason=reason,
        metrics={name: value for name, value in card.items() if name != HEADLINE},
        classes=classes,
        classes_reason=why,
    )


def with_mean(verdict: Verdict, classes: ClassTable | None, why: str | None) -> Verdict:
    """The verdict with the mean over matched classes or clusters in its reason, or why there is none."""
    if classes is None:
        said = f"compare matched classes instead: {why}"
    else:
        floor = "" if classes.mean_floor is None else f" (floor {classes.mean_floor:.3f})"
        said = f"the mean over {len(classes.matches)} matched {classes.word} is {classes.mean_similarity:.3f}{floor}"
    return replace(verdict, reason=f"{verdict.reason}; {said}")


def _classes(pair: Pair, headline: Similarity, *, clusters: bool) -> tuple[ClassTable | None, str | None]:
    """The table of classes, or why there is none; neither where the sides have no labels and clusters were not asked
    for."""
    try:
        return class_table(pair, headline.background.bandwidth, headline.background.kappa, clusters=clusters), None
    except (TooFewSamplesError, UndefinedMetricError, InvalidEmbeddingsError) as refusal:
        return None, str(refusal)


def check_metrics(metrics: Sequence[str] | None) -> None:
    """Raises UnknownNameError, with the nearest name, for what is neither a metric nor a family."""
    select(_wanted(metrics))


def _wanted(metrics: Sequence[str] | None) -> list[str] | None:
    return None if metrics is None else [name for name in metrics if name != HEADLINE]


def _headline(pair: Pair) -> tuple[Similarity | None, str | None]:
    try:
        return similarity_of(pair), None
    except (TooFewSamplesError, UndefinedMetricError, InvalidEmbeddingsError) as refusal:
        return None, str(refusal)


def _mixing_of_units(pair: Pair) -> MetricValue | None:
    """`knn_mixing` of one image a unit, where units hold several: an image's nearest neighbours are otherwise its own
    copies or the other frames of its burst, and two samples of one distribution would look apart. Else None."""
    if not any(own_units(side).units < len(side) for side in (pair.reference, pair.candidate)):
        return None
    sides = []
    for side in (pair.reference, pair.candidate):
        _, first = np.unique(own_units(side).unit, return_index=True)
        sides.append(EmbeddedSet(side.name, side.rows[first], content=side.content_codes[first]))
    thin = Pair(reference=sides[0], candidate=sides[1], background=pair.background, seed=pair.seed)
    return score_card(thin, ["knn_mixing"])["knn_mixing"]


def _verdict(pair: Pair, headline: Similarity | None, card: Mapping[str, MetricValue]) -> Verdict:
    if headline is None:
        return Verdict(text="not computed")
    if headline.status != "ok":
        return verdict_of(headline, mixing=None, c2st_auc=None)
    missing = [name for name in VERDICT_METRICS if name not in card]
    known = {**card, **(score_card(pair, missing) if missing else {})}
    mixing = (_mixing_of_units(pair) or known["knn_mixing"]).detail
    return verdict_of(
        headline,
        mixing=(mixing["reference"], mixing["candidate"]) if mixing else None,
        c2st_auc=known["c2st_auc"].value,
    )
