"""The whole graph in one process: every stage of every partition asked for, each set of embeddings opened once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.errors import SemsimError, UnknownNameError, WorkError, did_you_mean
from semsim_pipeline.stages.checks import check_stage
from semsim_pipeline.stages.checks.standing import check_comparison
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.matrix import build_matrix
from semsim_pipeline.stages.outcome import Failure, Outcome, Stage
from semsim_pipeline.stages.pictures import draw_many
from semsim_pipeline.stages.report import write_comparison_page
from semsim_pipeline.stages.scores import Planner, score_pairs
from semsim_pipeline.stages.workspace import Workspace

Found = Outcome | Failure
PROGRESS: dict[Stage, str] = {"pair_metrics": "score", "pair_plots": "draw"}
"""What a stage is called where progress is shown."""


@dataclass(slots=True)
class Plan:
    """The partitions of each stage that some comparisons need, in the catalogue's order."""

    datasets: list[str] = field(default_factory=list)
    embeddings: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def partitions(self) -> int:
        """How many results there will be."""
        return len(self.datasets) + len(self.embeddings) + 2 * len(self.pairs) + 2 * len(self.comparisons)


def plan(workspace: Workspace, comparisons: Sequence[str] | None = None, only: Collection[str] | None = None) -> Plan:
    """What has to be up to date for these comparisons, None for all. only: of their pairs, None for all of those.

    Raises UnknownNameError.
    """
    catalog = workspace.catalog
    for name in comparisons or ():
        if name not in catalog.comparisons:
            raise UnknownNameError(did_you_mean("comparison of the catalogue", name, catalog.comparisons))
    chosen = [each for each in catalog.comparisons.values() if comparisons is None or each.name in comparisons]
    pairs = list(dict.fromkeys(key for each in chosen for key in each.pairs if only is None or key in only))
    embeddings = list(dict.fromkeys(key for pair in pairs for key in catalog.pairs[pair].embeddings))
    datasets = list(dict.fromkeys(key.rpartition("@")[0] for key in embeddings))
    return Plan(datasets=datasets, embeddings=embeddings, pairs=pairs, comparisons=chosen)


def bring_up_to_date(workspace: Workspace, work: Plan) -> Iterator[Found]:
    """Every partition of the plan in the order of the data's flow, as it is done.

    A partition that fails, or that a blocking check stops, takes along only what stands on it: those are failures too,
    which name the first one. Every outcome carries what its checks say.
    """
    flow = _Flow(workspace)
    pairs = workspace.catalog.pairs
    comparisons = {comparison.name: comparison for comparison in work.comparisons}
    yield from flow.each("dataset_manifest", work.datasets, refresh_manifest)
    yield from flow.waiting("embeddings", work.embeddings, "dataset_manifest", lambda key: [key.rpartition("@")[0]])
    yield from flow.each("embeddings", work.embeddings, embed_dataset)
    yield from flow.waiting("pair_metrics", work.pairs, "embeddings", lambda key: pairs[key].embeddings)
    planner = Planner(workspace)  # sides are looked up once, to score and to draw
    yield from flow.many("pair_metrics", work.pairs, partial(score_pairs, planner=planner))
    yield from flow.waiting("pair_plots", work.pairs, "pair_metrics", lambda key: [key])
    yield from flow.many("pair_plots", work.pairs, partial(draw_many, planner=planner))
    yield from flow.each("similarity_matrix", list(comparisons), build_matrix)
    yield from flow.waiting("report", list(comparisons), "similarity_matrix", lambda name: [name])
    yield from flow.each("report", list(comparisons), write_comparison_page)


class _Flow:
    """Runs stages and remembers what broke, so that what stands on it is not tried."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._broken: dict[tuple[Stage, str], str] = {}
        self._reasons: dict[str, str] = {}
        self._behind: dict[str, str] = {}

    def each(self, stage: Stage, keys: Sequence[str], run: Callable[[Workspace, str], Outcome]) -> Iterator[Found]:
        """One partition after the other."""
        for key in self._sound(stage, keys):
            try:
                found: Found = run(self._workspace, key)
            except (SemsimError, OSError, MemoryError) as error:
                found = Failure(stage=stage, partition=key, error=error)
            yield self._checked(found)

    def many(
        self, stage: Stage, keys: Sequence[str], run: Callable[[Workspace, Sequence[str]], Iterator[Found]]
    ) -> Iterator[Found]:
        """All partitions in one call that shares what they have in common; told as progress."""
        sound = self._sound(stage, keys)
        self._workspace.progress.start(PROGRESS[stage], len(sound))
        failed = new = 0
        for done, each in enumerate(run(self._workspace, sound), 1):
            found = self._checked(each)
            if isinstance(found, Failure):
                failed += 1
            else:
                new += found.computed
            self._workspace.progress.update(done=done, failed=failed, new=new)
            yield found

    def waiting(
        self, stage: Stage, keys: Sequence[str], below: Stage, needs: Callable[[str], Iterable[str]]
    ) -> Iterator[Found]:
        """Those partitions whose needs broke, as failures."""
        for key in keys:
            reason = next((self._broken[below, need] for need in needs(key) if (below, need) in self._broken), None)
            if reason is not None:
                error = WorkError(f"not done, because {reason} failed")
                yield self._checked(Failure(stage=stage, partition=key, error=error, upstream=reason))

    def _sound(self, stage: Stage, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if (stage, key) not in self._broken]

    def _checked(self, found: Found) -> Found:
        """With what the checks say; what a blocking one stops counts as broken for what stands on it."""
        if found.stage == "report":
            if isinstance(found, Failure):
                self._note(found)
            return replace(found, checks=tuple(check_comparison(self._workspace, found.partition, self._behind)))
        if isinstance(found, Failure):
            return self._note(found)
        try:
            checks = check_stage(self._workspace, found.stage, found.partition)
        except (SemsimError, OSError) as error:
            return self._note(Failure(stage=found.stage, partition=found.partition, error=error))
        stop = next((check for check in checks if check.blocks), None)
        if stop is not None:
            gate = f"the check {stop.facts.name} of {found.stage} {found.partition}"
            self._broken[found.stage, found.partition] = gate
            self._reasons[gate] = f"{gate}: {stop.message}"
        return replace(found, checks=tuple(checks))

    def _note(self, failure: Failure) -> Failure:
        """Remember what broke, with the first reason, and which pairs it leaves behind."""
        key = failure.upstream or f"{failure.stage} of {failure.partition}"
        self._broken[failure.stage, failure.partition] = key
        reason = self._reasons.setdefault(key, f"{key}: {failure.reason}")
        if failure.stage in PROGRESS:  # the stages whose partitions are pairs
            self._behind.setdefault(failure.partition, reason)
        return failure
