"""Whether a run of one partition would change anything now, told from pointers and manifests: nothing is computed.

A change upstream brings a partition into question; this answers it. Of the pairs below a dataset whose class changed,
those of its other classes are not behind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from semsim_pipeline.errors import SemsimError
from semsim_pipeline.stages.encoders import Encoders
from semsim_pipeline.stages.failures import Failures, failure_of
from semsim_pipeline.stages.matrix import comparison_version
from semsim_pipeline.stages.matrix import is_built as matrix_is_built
from semsim_pipeline.stages.outcome import Stage
from semsim_pipeline.stages.picture_store import has_pictures
from semsim_pipeline.stages.pictures import pictures_folder, pictures_version
from semsim_pipeline.stages.report import page_version, written_version
from semsim_pipeline.stages.score_store import current_version
from semsim_pipeline.stages.scores import Planner
from semsim_pipeline.stages.state import read_dataset, read_embedding
from semsim_pipeline.stages.workspace import Workspace, split_embedding_key


class Behind:
    """Answers for one moment: what several partitions share is looked up once, so make a new one for each tick."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._answers: dict[tuple[Stage, str], bool] = {}
        self._encoders = Encoders(workspace)

    def knows(self, stage: Stage, key: str) -> bool:
        """Whether the catalogue has a key (still)."""
        catalog = self._workspace.catalog
        if stage == "dataset_manifest":
            return key in catalog.datasets
        if stage == "embeddings":
            dataset, alias = split_embedding_key(key)
            return dataset in catalog.datasets and alias in catalog.encoders
        return key in (catalog.pairs if stage in {"pair_metrics", "pair_plots"} else catalog.comparisons)

    def version(self, stage: Stage, key: str) -> str | None:
        """Of the partition's current result, the same as the data version of its materialisation; None without one."""
        return self._versions[stage](key) if self.knows(stage, key) else None

    def wants(self, stage: Stage, key: str) -> bool:
        """Whether a run would make another result, or fail for a reason of its own.

        False also where it has to wait for a stage above that wants a run itself, and for keys that the catalogue does
        not have (any more).
        """
        if (stage, key) not in self._answers:
            try:
                self._answers[stage, key] = (
                    self.knows(stage, key) and not self.waits(stage, key) and self._questions[stage](key)
                )
            except (SemsimError, OSError):
                self._answers[stage, key] = True  # the run will say what is wrong, once
        return self._answers[stage, key]

    def waits(self, stage: Stage, key: str) -> bool:
        """Whether a stage above wants a run first, so that this one cannot tell yet."""
        if not self.knows(stage, key):
            return False
        if stage in {
            "similarity_matrix",
            "dataset_manifest",
        }:  # a matrix takes what scores there are, a page what pictures
            return False
        above: list[tuple[Stage, str]] = [("similarity_matrix", key)] if stage == "report" else self.parents(stage, key)
        return any(self.wants(*each) or self.waits(*each) for each in above)

    def parents(self, stage: Stage, key: str) -> list[tuple[Stage, str]]:
        """What a partition is made of; nothing for a key that the catalogue does not have."""
        catalog = self._workspace.catalog
        if not self.knows(stage, key) or stage == "dataset_manifest":
            return []
        if stage == "embeddings":
            return [("dataset_manifest", split_embedding_key(key)[0])]
        if stage == "pair_metrics":
            return [("embeddings", each) for each in catalog.pairs[key].embeddings]
        if stage == "pair_plots":
            return [("pair_metrics", key)]
        below: Stage = "pair_metrics" if stage == "similarity_matrix" else "pair_plots"
        pairs: list[tuple[Stage, str]] = [(below, pair) for pair in catalog.comparisons[key].pairs]
        return pairs if stage == "similarity_matrix" else [*pairs, ("similarity_matrix", key)]

    @cached_property
    def _questions(self) -> dict[Stage, Callable[[str], bool]]:
        return {
            "dataset_manifest": lambda key: read_dataset(self.home, key) is None,
            "embeddings": self._embeddings,
            "pair_metrics": self._scores,
            "pair_plots": self._pictures,
            "similarity_matrix": lambda name: not matrix_is_built(self.home, name, self._matrix(name)),
            "report": self._report,
        }

    @cached_property
    def _versions(self) -> dict[Stage, Callable[[str], str | None]]:
        return {
            "dataset_manifest": self._manifest_version,
            "embeddings": self._embeddings_version,
            "pair_metrics": lambda key: current_version(self.home, key),
            "pair_plots": self._pictures_version,
            "similarity_matrix": self._matrix,
            "report": lambda name: written_version(self.home, name),
        }

    @property
    def home(self) -> Path:
        """Where the answers come from."""
        return self._workspace.home

    def _manifest_version(self, dataset: str) -> str | None:
        found = read_dataset(self.home, dataset)
        return None if found is None else found.version

    def _embeddings_version(self, key: str) -> str | None:
        found = read_embedding(self.home, key)
        return None if found is None else found.version

    def _pictures_version(self, key: str) -> str | None:
        score = current_version(self.home, key)
        version = None if score is None else pictures_version(score)
        return version if version and has_pictures(pictures_folder(self.home, key, version)) else None

    def _embeddings(self, key: str) -> bool:
        name, alias = split_embedding_key(key)
        dataset, state = read_dataset(self.home, name), read_embedding(self.home, key)
        if dataset is None:
            return False
        if state is None or state.dataset.version != dataset.version or state.dataset.view != dataset.view:
            return True
        return (state.key.digest, state.background) != self._encoders.identity(alias)

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self._workspace)

    def _scores(self, key: str) -> bool:
        # A note of a failure that has passed stays until a success takes it away.
        failed = failure_of(self.home, "pair_metrics", key) is not None
        return failed or current_version(self.home, key) != self._planner.plan(key).version

    def _pictures(self, key: str) -> bool:
        return current_version(self.home, key) is not None and self._pictures_version(key) is None

    @cached_property
    def _failures(self) -> Failures:
        return Failures(self.home)

    def _matrix(self, name: str) -> str:
        return comparison_version(self._workspace, self._workspace.catalog.comparisons[name], self._failures)

    def _report(self, name: str) -> bool:
        return written_version(self.home, name) != page_version(self._workspace, name, self._matrix(name))
