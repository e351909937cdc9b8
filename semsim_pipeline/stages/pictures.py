"""Stage 4, `pair_plots`: the pictures of a scored pair, drawn once per score and per version of the drawing code."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from semsim_pipeline.comparison.score_store import VERSION_DIGITS, find_result
from semsim_pipeline.errors import SemsimError, StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.plots.base import PLOTS_VERSION, PairInput, Picture
from semsim_pipeline.stages.outcome import Failure, Outcome
from semsim_pipeline.stages.picture_store import KeptPictures, keep_pictures, read_pictures
from semsim_pipeline.stages.score_store import current_version
from semsim_pipeline.stages.scores import PlannedPair, Planner
from semsim_pipeline.stages.workspace import Workspace

FIRST_SCORE = "materialise `pair_metrics` of it first, or run `semsim rescore`."


def draw_pair_plots(workspace: Workspace, key: str) -> Outcome:
    """The pictures of one pair's current score; read back where they are there.

    Raises StoreError where the pair has not been scored, or its rows changed since; UnknownNameError.
    """
    [found] = draw_many(workspace, [key])
    if isinstance(found, Failure):
        raise found.error
    return found


def draw_many(workspace: Workspace, keys: Sequence[str], planner: Planner | None = None) -> Iterator[Outcome | Failure]:
    """The pictures of many pairs, one after the other; a pair that fails is a `Failure` and the others go on.

    planner: of the scores, where they were made in the same go.
    """
    planner = planner or Planner(workspace)
    for key in keys:
        try:
            yield _draw(workspace, planner, key)
        except (SemsimError, OSError) as error:
            yield Failure(stage="pair_plots", partition=key, error=error)


def stored_pictures(home: Path, key: str, version: str) -> KeptPictures | None:
    """The pictures of one version, None where they are not all there. Raises StoreError where one is damaged."""
    return read_pictures(pictures_folder(home, key, version))


def pictures_version(score_version: str) -> str:
    """What the pictures of a score depend on: the score (its rows and numbers) and the drawing code."""
    return digest_of([PLOTS_VERSION, score_version])


def pictures_folder(home: Path, key: str, version: str) -> Path:
    """Where one version of a pair's pictures is."""
    return home / "pictures" / key / version[:VERSION_DIGITS]


def _draw(workspace: Workspace, planner: Planner, key: str) -> Outcome:
    began = time.perf_counter()
    planned = planner.plan(key)
    scored = current_version(workspace.home, key)
    if scored != planned.version:
        why = "is not scored yet" if scored is None else "changed since it was scored"
        raise StoreError(f"{key} {why}: {FIRST_SCORE}")
    version = pictures_version(planned.version)
    folder = pictures_folder(workspace.home, key, version)
    pictures = read_pictures(folder)
    computed = pictures is None
    if pictures is None:
        pictures = keep_pictures(folder, version, _drawn(workspace, planned))
    return Outcome(
        stage="pair_plots",
        partition=key,
        version=version,
        computed=computed,
        seconds=time.perf_counter() - began,
        path=folder,
        row_count=planned.reference.n + planned.candidate.n,
        numbers={"pictures": len(pictures), "bytes": pictures.bytes},
        texts={"caption": pictures.caption},
        pictures=pictures,
    )


def _drawn(workspace: Workspace, planned: PlannedPair) -> tuple[Picture, ...]:
    from semsim_pipeline.comparison.thumbnails import picture_sides
    from semsim_pipeline.plots.draw import draw_pair

    score = find_result(workspace.home, planned.version)
    if score is None:
        raise StoreError(f"The score of {planned.pair.key} has gone: {FIRST_SCORE}")
    reference, candidate = picture_sides(workspace.home, planned.reference, planned.candidate)
    pair = PairInput(comparison=score.comparison, reference=reference, candidate=candidate)
    return draw_pair(pair, planned.pair.seed, strict=True)
