"""What is fresh, stale (and why), missing or failed: what `rescore` would do, without doing it.

Dagster shows a partitioned asset as one state; this looks at each pair, and says which of its inputs changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from semsim_pipeline.catalog import Pair, Side, embedding_key
from semsim_pipeline.comparison.score_store import Inputs
from semsim_pipeline.comparison.selected import selected_rows
from semsim_pipeline.datasets.base import is_here
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.extract.plan import embedding_key as set_key
from semsim_pipeline.extract.plan import missing_rows
from semsim_pipeline.extract.scan import scan
from semsim_pipeline.stages.changes import changes
from semsim_pipeline.stages.failures import Failures, Noted, failure_of
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.scores import Planner
from semsim_pipeline.stages.state import EmbeddingState, read_dataset, read_embedding
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.manifest import ManifestRef

State = Literal["fresh", "stale", "missing", "failed"]
DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """state: `fresh`: its score is for what is there now; `stale`: something that it depends on changed; `missing`:
    never scored; `failed`: it cannot be scored as things are. why: one line, "" where fresh."""

    state: State
    why: str = ""


def status_of(workspace: Workspace) -> dict[str, PairStatus]:
    """Every pair's state, in the catalogue's order.

    Datasets are scanned (a file whose stamp is known is not read); no image is embedded, nothing is made current.
    Raises StoreError where the home cannot be used; a dataset that cannot be read is the state of its pairs.
    """
    manifests = {name: _scanned(workspace, name) for name in _needed(workspace)}
    planner, failures = Planner(workspace), Failures(workspace.home)
    states = {key: _state(workspace, planner, pair, manifests) for key, pair in workspace.catalog.pairs.items()}
    return {key: _with_failure(state, failures.behind(workspace.catalog.pairs[key])) for key, state in states.items()}


def _with_failure(state: PairStatus, failure: Noted | None) -> PairStatus:
    """`failed` where the last try to do what is left to do failed. Whether a dataset can be read was seen just now."""
    if state.state not in {"missing", "stale"} or failure is None or failure.stage == "dataset_manifest":
        return state
    why = f"{failure.stage} of {failure.partition} failed, first at {failure.at}: {failure.reason}"
    return PairStatus(state="failed", why=f"{state.why}; {why}")


def _needed(workspace: Workspace) -> list[str]:
    sides = (side for pair in workspace.catalog.pairs.values() for side in (pair.reference, pair.candidate))
    return list(dict.fromkeys(side.dataset for side in sides))


class _Unfetched(str):
    """Why a dataset cannot be read yet: it comes over a network, and nobody has fetched it so far."""

    __slots__ = ()


def _scanned(workspace: Workspace, dataset: str) -> ManifestRef | str:
    """The dataset as it is now, or why it cannot be read."""
    try:
        view = workspace.dataset(dataset)
        if not is_here(view.source) and read_dataset(workspace.home, dataset) is None:
            return _Unfetched(f"{dataset} was not fetched yet")
        return scan(view, workspace.home, workspace.progress)
    except (SemsimError, OSError) as error:
        return f"{dataset}: {error}"


def _state(
    workspace: Workspace, planner: Planner, pair: Pair, manifests: Mapping[str, ManifestRef | str]
) -> PairStatus:
    try:
        stored = current_score(workspace.home, pair.key)
        for side in (pair.reference, pair.candidate):
            found = manifests[side.dataset]
            if isinstance(found, _Unfetched) and failure_of(workspace.home, "dataset_manifest", side.dataset) is None:
                return PairStatus(state="missing", why=found)
            if isinstance(found, str):
                return PairStatus(state="failed", why=found)
        if stored is None:
            return PairStatus(state="missing", why="never scored")
        changes = [
            why
            for side in dict.fromkeys((pair.reference, pair.candidate))
            if (why := _behind(workspace, side, pair.encoder, manifests[side.dataset])) is not None
        ]
        if changes:
            return PairStatus(state="stale", why="; ".join(dict.fromkeys(changes)))
        return _compared(stored.inputs, planner.plan(pair.key).inputs)
    except (SemsimError, OSError) as error:
        return PairStatus(state="failed", why=str(error))


def _behind(workspace: Workspace, side: Side, alias: str, now: ManifestRef | str) -> str | None:
    """Why a side's embeddings are behind its dataset in a way that may touch the side; None where they are not."""
    partition = embedding_key(side.dataset, alias)
    state = read_embedding(workspace.home, partition)
    if state is None:
        return f"{partition} is not embedded yet"
    if state.dataset.view != workspace.dataset(side.dataset).key():
        return f"{side.dataset}: the catalogue names another source, options or selection than what was embedded"
    encoder = workspace.encoder(alias)
    key = set_key(encoder)
    if state.key.digest != key.digest:
        return f"encoder {alias}: {state.key.digest[:DIGITS]} → {key.digest[:DIGITS]}"
    if isinstance(now, str) or state.dataset.version == now.version:
        return None
    if not _side_changed(workspace, side, state, now):
        return None  # another class of the dataset changed, not this side's rows
    new = len(missing_rows(now, EmbeddingSet.at(workspace.home, key)))
    more = f", {new:,} new images to embed" if new else ""
    return f"{side.dataset}: manifest {state.dataset.version[:DIGITS]} → {now.version[:DIGITS]}{more}"


def _side_changed(workspace: Workspace, side: Side, state: EmbeddingState, now: ManifestRef) -> bool:
    """Whether the rows that a side selects differ between the manifest that was embedded and the one of now."""
    dataset = workspace.dataset(side.dataset)
    before, after = (
        selected_rows(dataset, side.view, path).select("image_id", "group", "status")
        for path in (state.dataset.manifest.path, now.path)
    )
    return not before.equals(after)


def _compared(before: Inputs, now: Inputs) -> PairStatus:
    """Fresh where all inputs are equal; else what changed, from what to what."""
    found = changes(before, now)
    return PairStatus(state="stale", why="; ".join(each.text for each in found)) if found else PairStatus(state="fresh")
