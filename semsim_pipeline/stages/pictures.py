"""Stage 4, `pair_plots`: the pictures of a scored pair, drawn once per score and per version of the drawing code."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from semsim_pipeline.comparison.score_store import VERSION_DIGITS, StoredScore
from semsim_pipeline.errors import SemsimError, StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.plots.base import PLOTS_VERSION, PairInput, Picture
from semsim_pipeline.stages.outcome import Failure, Outcome
from semsim_pipeline.stages.picture_store import keep_pictures, read_pictures
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.scores import PlannedPair, Planner
from semsim_pipeline.stages.workspace import Workspace


def draw_pair_plots(workspace: Workspace, key: str) -> Outcome:
    """The pictures of one pair's current score; read back where they are there.

    Raises StoreError where the pair has not been scored, or its rows changed since; UnknownNameError.
    """
    [found] = draw_many(workspace, [key])
    if isinstance(found, Failure):
        raise found.error
    return found


def draw_many(workspace: Workspace, keys: Sequence[str]) -> Iterator[Outcome | Failure]:
    """The pictures of many pairs, one after the other; a pair that fails is a `Failure` and the others go on."""
    planner = Planner(workspace)
    for key in keys:
        try:
            yield _draw(workspace, planner, key)
        except (SemsimError, OSError) as error:
            yield Failure(stage="pair_plots", partition=key, error=error)


def stored_pictures(home: Path, key: str, version: str) -> tuple[Picture, ...] | None:
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
    score = current_score(workspace.home, key)
    if score is None or score.version != planned.version:
        why = "is not scored yet" if score is None else "changed since it was scored"
        raise StoreError(f"{key} {why}: materialise `pair_metrics` of it first, or run `semsim rescore`.")
    version = pictures_version(score.version)
    pictures = stored_pictures(workspace.home, key, version)
    computed = pictures is None
    if pictures is None:
        pictures = _drawn(workspace, planned, score)
        keep_pictures(pictures_folder(workspace.home, key, version), version, pictures)
    return Outcome(
        stage="pair_plots",
        partition=key,
        version=version,
        computed=computed,
        seconds=time.perf_counter() - began,
        path=pictures_folder(workspace.home, key, version),
        row_count=score.comparison.reference.n + score.comparison.candidate.n,
        numbers={"pictures": len(pictures), "bytes": sum(len(picture.png) for picture in pictures)},
        texts={"caption": "\n\n".join(f"**{each.title}** {each.caption}" for each in pictures)},
        pictures=pictures,
    )


def _drawn(workspace: Workspace, planned: PlannedPair, score: StoredScore) -> tuple[Picture, ...]:
    from semsim_pipeline.comparison.thumbnails import picture_sides
    from semsim_pipeline.plots.draw import draw_pair

    reference, candidate = picture_sides(workspace.home, planned.reference, planned.candidate)
    pair = PairInput(comparison=score.comparison, reference=reference, candidate=candidate)
    return draw_pair(pair, planned.pair.seed, strict=True)
