"""Stage 3, `pair_metrics`: a pair's score card, computed once for the rows, the encoder and the code it rests on."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from semsim_pipeline.catalog import Pair, Side, embedding_key
from semsim_pipeline.comparison.assess import EncoderIdentity, assess
from semsim_pipeline.comparison.backgrounds import background_for
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score_store import (
    Inputs,
    Scoring,
    StoredScore,
    find_result,
    keep_result,
    result_file,
    score_inputs,
    score_version,
)
from semsim_pipeline.comparison.selected import Known, SelectedView, select_from_dataset, with_confounds
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.comparison.words import classes_lines, classes_markdown
from semsim_pipeline.datasets.decode import DECODE_VERSION
from semsim_pipeline.errors import SemsimError, StoreError
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.stages.failures import note
from semsim_pipeline.stages.outcome import Failure, LateRows, Outcome
from semsim_pipeline.stages.score_store import make_current
from semsim_pipeline.stages.state import read_embedding
from semsim_pipeline.stages.workspace import Workspace, known
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.hashes import LoadedHashes
from semsim_pipeline.store.reader import KnownIds
from semsim_pipeline.store.schema import SCHEMA_VERSION

BATCH_BYTES = 2 << 30
"""Embeddings that the bulk path holds at once (twice that with their unit rows); more pairs wait for the next batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPair:
    """A pair whose rows are known, before a number of it is read. inputs: all that its score depends on."""

    pair: Pair
    reference: SelectedView
    candidate: SelectedView
    encoder: EncoderIdentity
    inputs: Inputs

    @property
    def version(self) -> str:
        """Of the score that these inputs give."""
        return score_version(self.inputs)


class Planner:
    """Plans pairs; sides, encoders and backgrounds that several pairs share are looked up once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._encoders: dict[str, EncoderIdentity] = {}
        self._sides: dict[tuple[str, str], SelectedView] = {}
        self._known: dict[str, Known] = {}

    def plan(self, key: str) -> PlannedPair:
        """Raises UnknownNameError, StoreError (not embedded, or embedded from something else), EmptyDatasetError."""
        pair = known(self._workspace.catalog.pairs, "pair", key)
        reference, candidate = (self._side(side, pair.encoder) for side in (pair.reference, pair.candidate))
        encoder = self._encoder(pair.encoder)
        scoring = Scoring(seed=pair.seed, permutations=self._workspace.permutations(key))
        inputs = score_inputs(reference, candidate, encoder, scoring)
        return PlannedPair(pair=pair, reference=reference, candidate=candidate, encoder=encoder, inputs=inputs)

    def _encoder(self, alias: str) -> EncoderIdentity:
        if alias not in self._encoders:
            encoder = self._workspace.encoder(alias)
            background = background_for(
                encoder, self._workspace.home, self._workspace.extract, self._workspace.progress
            )
            self._encoders[alias] = EncoderIdentity(
                name=encoder.name, fingerprint=encoder.fingerprint(), background=background
            )
        return self._encoders[alias]

    def _side(self, side: Side, alias: str) -> SelectedView:
        found = self._sides.get((side.text, alias))
        if found is None:
            partition = embedding_key(side.dataset, alias)
            state = read_embedding(self._workspace.home, partition)
            dataset = self._workspace.dataset(side.dataset)
            if state is None:
                raise StoreError(f"{partition} is not embedded yet: {_first_embed(partition)}")
            # Both sides are read from one set, so an older decoder's rows must not be met beside new ones.
            wanted = (dataset.key(), self._encoder(alias).fingerprint, DECODE_VERSION, SCHEMA_VERSION)
            if (state.dataset.view, state.fingerprint, state.decode_version, state.schema_version) != wanted:
                raise StoreError(
                    f"{partition} was embedded from another source, with other weights or by another version: "
                    f"{_first_embed(partition)}"
                )
            embeddings = EmbeddingSet.at(self._workspace.home, state.key)
            if state.key.digest not in self._known:
                others = next(iter(self._known.values()), None)
                hashes = LoadedHashes(image_hashes(self._workspace.home)) if others is None else others.hashes
                self._known[state.key.digest] = Known(images=KnownIds(embeddings), hashes=hashes)
            known = self._known[state.key.digest]
            found = select_from_dataset(dataset, side.view, state.dataset.manifest.path, embeddings, known)
            self._sides[side.text, alias] = found
        return found


def _first_embed(partition: str) -> str:
    return f"materialise `embeddings` of {partition} first, or run `semsim rescore`."


def score_pair(workspace: Workspace, key: str) -> Outcome:
    """The score of one pair; read back where it is there for exactly these inputs.

    Raises: UnknownNameError, StoreError, EmptyDatasetError. A pair that is too small to score is a result, with its
    reason, and no error.   Memory: both sides' embeddings twice, and that of the dearest metric.
    """
    [found] = score_pairs(workspace, [key])
    if isinstance(found, Failure):
        raise found.error
    return found


def score_pairs(
    workspace: Workspace, keys: Sequence[str], planner: Planner | None = None
) -> Iterator[Outcome | Failure]:
    """Score many pairs in one process, each set of embeddings read once; hits first, then batch by batch.

    planner: one that goes on to be used, so that sides are not looked up again. A pair that fails is a `Failure` and
    the others go on.   Memory: BATCH_BYTES of embeddings, twice, or one pair's.
    """
    for found in _scored(workspace, keys, planner or Planner(workspace)):
        note(workspace.home, found)
        yield found


def _scored(workspace: Workspace, keys: Sequence[str], planner: Planner) -> Iterator[Outcome | Failure]:
    waiting: list[PlannedPair] = []
    for key in keys:
        began = time.perf_counter()
        try:
            planned = planner.plan(key)
            stored = find_result(workspace.home, planned.version)
            if stored is not None:
                make_current(workspace.home, key, stored)
        except (SemsimError, OSError) as error:
            yield Failure(stage="pair_metrics", partition=key, error=error)
            continue
        if stored is None:
            waiting.append(planned)
        else:
            yield _outcome(workspace, key, stored, computed=False, seconds=time.perf_counter() - began)
    for batch in _batches(waiting):
        yield from _score_batch(workspace, batch)


def _batches(pairs: Iterable[PlannedPair]) -> Iterator[list[PlannedPair]]:
    """Runs of pairs of one encoder whose distinct sides fit into the budget, in the order given."""
    batch: list[PlannedPair] = []
    held: dict[str, int] = {}
    for planned in pairs:
        sides = {view.name: view.n * 4096 for view in (planned.reference, planned.candidate)}
        other = bool(batch) and batch[0].reference.key != planned.reference.key
        if batch and (other or sum((held | sides).values()) > BATCH_BYTES):
            yield batch
            batch, held = [], {}
        batch.append(planned)
        held |= sides
    if batch:
        yield batch


def _score_batch(workspace: Workspace, batch: Sequence[PlannedPair]) -> Iterator[Outcome | Failure]:
    views = {view.name: view for planned in batch for view in (planned.reference, planned.candidate)}
    try:
        sets = open_sets(workspace.home, views)
    except (SemsimError, OSError) as error:
        if len(batch) == 1:
            yield Failure(stage="pair_metrics", partition=batch[0].pair.key, error=error)
            return
        for planned in batch:  # one damaged part must not take the pairs along that do not need it
            yield from _score_batch(workspace, [planned])
        return
    uses = Counter(name for planned in batch for name in _names(planned))
    for planned in batch:
        yield _score(workspace, planned, sets)
        for name in _names(planned):
            uses[name] -= 1
            if not uses[name]:
                del sets[name]


def _names(planned: PlannedPair) -> set[str]:
    return {planned.reference.name, planned.candidate.name}


def _score(workspace: Workspace, planned: PlannedPair, sets: Mapping[str, EmbeddedSet]) -> Outcome | Failure:
    began = time.perf_counter()
    try:
        found = assess(
            sets[planned.reference.name],
            sets[planned.candidate.name],
            planned.encoder,
            seed=planned.pair.seed,
            permutations=workspace.permutations(planned.pair.key),
        )
        found = with_confounds(found, planned.reference, planned.candidate)
        seconds = time.perf_counter() - began
        stored = keep_result(workspace.home, planned.inputs, found, seconds)
        make_current(workspace.home, planned.pair.key, stored)
    except (SemsimError, OSError, MemoryError) as error:
        return Failure(stage="pair_metrics", partition=planned.pair.key, error=error)
    return _outcome(workspace, planned.pair.key, stored, computed=True, seconds=seconds)


def _outcome(workspace: Workspace, key: str, stored: StoredScore, *, computed: bool, seconds: float) -> Outcome:
    found = stored.comparison
    return Outcome(
        stage="pair_metrics",
        partition=key,
        version=stored.version,
        computed=computed,
        seconds=seconds,
        path=result_file(workspace.home, stored.version),
        row_count=found.reference.n + found.candidate.n,
        numbers=_numbers(found),
        texts=_texts(found),
        rows=LateRows(lambda: _rows(found)),
    )


def _numbers(found: Comparison) -> dict[str, float | int]:
    """Every number that is worth a line over time; those that are not finite have no place on one."""
    numbers: dict[str, float | int | None] = {"similarity": found.value}
    headline = found.similarity
    if headline is not None:
        low, high = headline.interval
        numbers |= {"similarity_low": low, "similarity_high": high, "similarity_raw": headline.raw}
        numbers |= {"similarity_floor": headline.floor, "p_value": headline.p_value}
        numbers |= {"ceiling_reference": headline.ceiling_reference.value}
        numbers |= {"ceiling_candidate": headline.ceiling_candidate.value}
    numbers |= {"n_reference": found.reference.n, "n_candidate": found.candidate.n, "overlap": found.overlap}
    numbers |= {"failed_images": found.reference.failed + found.candidate.failed}
    if found.classes is not None:
        numbers |= {"classes_matched": len(found.classes.matches)}
        numbers |= {"classes_mean_similarity": found.classes.mean_similarity}
    numbers |= {name: value.value for name, value in sorted(found.metrics.items())}
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def _texts(found: Comparison) -> dict[str, str]:
    background = "none" if found.background is None else f"{found.background.id} ({found.background.source})"
    reason = found.reason or found.verdict.reason
    classes = "\n\n".join([*classes_lines(found), *classes_markdown(found)])
    return {
        "verdict": found.verdict.text,
        "status": found.status,
        **({"reason": reason} if reason else {}),
        **({"classes": classes} if classes else {}),
        "reference": found.reference.name,
        "candidate": found.candidate.name,
        "encoder": found.encoder,
        "background": background,
    }


def _rows(found: Comparison) -> list[dict[str, str | int | float | None]]:
    from semsim_pipeline.comparison.words import interval_text, number, ordered_metrics, said_of

    return [
        {
            "metric": facts.name,
            "value": "–" if value.value is None else number(value.value),
            "interval": interval_text(value),
            "if_equal": "" if value.null is None else number(value.null),
            "meaning": said_of(facts, value),
        }
        for facts, value in ordered_metrics(found)
    ]
