"""Compare views: embed what is missing, open every embedding set once, score every pair."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from semsim_pipeline.catalog import open_named
from semsim_pipeline.comparison.assess import EncoderIdentity, assess, check_metrics
from semsim_pipeline.comparison.backgrounds import background_for
from semsim_pipeline.comparison.family import as_family
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score_store import Scoring, find_result, keep_result, score_inputs, score_version
from semsim_pipeline.comparison.selected import SelectedView, select_all, with_confounds
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.datasets.base import fetch
from semsim_pipeline.datasets.listing import list_together
from semsim_pipeline.datasets.resolve import DatasetView, source_key
from semsim_pipeline.datasets.views import View
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view, usable_manifest
from semsim_pipeline.home import ensure_home
from semsim_pipeline.metrics.multiplicity import permutations_for
from semsim_pipeline.progress import Progress, Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """limit: at most so many images a view; a smaller limit of the view's own, and its seed, stay. seed: of every draw.
    metrics: rows of the score card, None for all.
    clusters: match those without labels. extract: how to embed. home: None for SEMSIM_HOME."""

    limit: int | None = None
    seed: int = 0
    metrics: Sequence[str] | None = None
    clusters: bool = False
    extract: ExtractOptions = field(default_factory=ExtractOptions)
    home: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPair:
    """A comparison and the rows that it is about."""

    comparison: Comparison
    reference: SelectedView
    candidate: SelectedView


def compare_views(
    reference: str,
    candidate: str,
    encoders: Sequence[str],
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """One pair under one or several encoders; see `compare_pairs`. Everything is checked before any work.

    Of several encoders, each result's `agreement` says how far its encoder agrees with the others.
    """
    return [scored.comparison for scored in score_views(reference, candidate, encoders, options, progress)]


def score_views(
    reference: str,
    candidate: str,
    encoders: Sequence[str],
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> list[ScoredPair]:
    """As `compare_views`, with the rows behind each score, for whoever draws them.

    The encoders are one family of tests: whoever asks five of them has five chances of a false alarm.
    """
    options = options or CompareOptions()
    pairs = [(reference, candidate)]
    chosen = [resolve_encoder(encoder) for encoder in encoders]
    views = _checked(pairs, chosen, options, progress)
    scoring = _scoring(options, tests=len(chosen))
    found = [each for one in chosen for each in _scored(pairs, views, one, scoring, (options, progress or Silent()))]
    family = as_family([each.comparison for each in found])
    scored = [replace(each, comparison=one) for each, one in zip(found, family, strict=True)]
    return _with_agreement(scored, [encoder.facts.family for encoder in chosen], options)


def _with_agreement(scored: list[ScoredPair], families: Sequence[str], options: CompareOptions) -> list[ScoredPair]:
    """The same, each with how far its encoder agrees with the others. No part of a stored score: it is of two."""
    if len(scored) < 2:
        return scored
    from semsim_pipeline.comparison.encoder_agreement import agreements

    found = agreements(
        [each.comparison for each in scored],
        [(each.reference, each.candidate) for each in scored],
        families,
        ensure_home(options.home),
        options.seed,
    )
    return [
        replace(each, comparison=replace(each.comparison, agreement=some))
        for each, some in zip(scored, found, strict=True)
    ]


def compare_pairs(
    pairs: Sequence[tuple[str, str]],
    encoder: str,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Score many pairs of views under one encoder, in order, and adjust their p-values over all of them.

    Raises and memory: as `stream_pairs`.
    """
    return as_family(list(stream_pairs(pairs, encoder, options, progress)))


def stream_pairs(
    pairs: Sequence[tuple[str, str]],
    encoder: str,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """Each pair as it is scored; p-values are not adjusted yet (`as_family` does it once all are there).

    Every view is listed before the first is embedded; each is embedded and read once, and what its pairs share is
    computed once.
    Raises, before any work: WrongCallError and its kin for names, paths, views; MissingWeightsError; then what
    `embed_view` raises.
    Memory: the embeddings of the views that pairs still to come need, n·d·4 bytes each and as much for unit rows.
    """
    options = options or CompareOptions()
    chosen = resolve_encoder(encoder)
    checked = _checked(pairs, [chosen], options, progress)
    scoring = _scoring(options, tests=len(pairs))
    return (each.comparison for each in _scored(pairs, checked, chosen, scoring, (options, progress or Silent())))


def _scoring(options: CompareOptions, tests: int) -> Scoring:
    return Scoring(
        seed=options.seed, permutations=permutations_for(tests), metrics=options.metrics, clusters=options.clusters
    )


def _checked(
    pairs: Sequence[tuple[str, str]], encoders: Sequence[Encoder], options: CompareOptions, progress: Progress | None
) -> dict[str, DatasetView]:
    """The views by spec, once names, paths and metrics are known to be right and weights to be here (cheap first)."""
    check_metrics(options.metrics)
    views = {}
    for spec in dict.fromkeys(spec for pair in pairs for spec in pair):
        found = open_named(spec, options.home)
        views[spec] = replace(found, view=limited(found.view, options.limit, options.seed))
    for encoder in encoders:
        ensure_weights(encoder, progress)
    return views


def _scored(
    pairs: Sequence[tuple[str, str]],
    views: Mapping[str, DatasetView],
    chosen: Encoder,
    scoring: Scoring,
    how: tuple[CompareOptions, Progress],
) -> Iterator[ScoredPair]:
    options, progress = how
    home = ensure_home(options.home)
    with TemporaryDirectory(prefix=".listing-", dir=home) as folder:
        for source in {source_key(view.source): view.source for view in views.values()}.values():
            fetch(source, progress)
        listed = list_together(views, Path(folder))
        manifests = {spec: usable_manifest(view, chosen, home, progress) for spec, view in listed.items()}
    selected = {
        spec: select_all(
            view.name, view.source, embed_view(view, chosen, home, options.extract, progress, manifests[spec]), home
        )
        for spec, view in views.items()
    }
    background = background_for(chosen, home, options.extract, progress)
    identity = EncoderIdentity(name=chosen.name, fingerprint=chosen.fingerprint(), background=background)
    yield from _pair_by_pair(home, pairs, selected, identity, (scoring, progress))


def _pair_by_pair(
    home: Path,
    pairs: Sequence[tuple[str, str]],
    selected: Mapping[str, SelectedView],
    encoder: EncoderIdentity,
    how: tuple[Scoring, Progress],
) -> Iterator[ScoredPair]:
    """Each pair's score, in order: found where the same was asked before, else computed; only then are rows read."""
    scoring, progress = how
    inputs = [score_inputs(selected[one], selected[other], encoder, scoring) for one, other in pairs]
    stored = [find_result(home, score_version(each), encoder.background) for each in inputs]
    uses = Counter(spec for pair, found in zip(pairs, stored, strict=True) if found is None for spec in set(pair))
    sets = open_sets(home, {spec: view for spec, view in selected.items() if uses[spec]})
    progress.start("score", len(pairs))
    new = 0
    for number, (reference, candidate) in enumerate(pairs):
        found = stored[number]
        if found is None:
            began = time.perf_counter()
            comparison = assess(
                sets[reference],
                sets[candidate],
                encoder,
                metrics=scoring.metrics,
                seed=scoring.seed,
                permutations=scoring.permutations,
                clusters=scoring.clusters,
            )
            comparison = with_confounds(comparison, selected[reference], selected[candidate])
            found = keep_result(home, inputs[number], comparison, time.perf_counter() - began)
            new += 1
            for spec in {reference, candidate}:
                uses[spec] -= 1
                if not uses[spec]:
                    del sets[spec]
        progress.update(done=number + 1, new=new)
        yield ScoredPair(comparison=found.comparison, reference=selected[reference], candidate=selected[candidate])


def limited(view: View, limit: int | None, seed: int) -> View:
    """The smaller of two limits. Under the view's own seed the smaller sample is a part of the larger one."""
    if limit is None:
        return view
    return view.limited(limit, seed) if view.limit is None else view.limited(min(view.limit, limit))
