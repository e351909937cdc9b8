"""Stage 6, `report`: the page of a comparison, under one stable name, rewritten when anything on it changed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.comparison.score_store import StoredScore
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.stages.matrix import ScoredComparison, matrix_folder, scored_comparison
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.picture_store import has_pictures, read_pictures
from semsim_pipeline.stages.pictures import pictures_folder, pictures_version, stored_pictures
from semsim_pipeline.stages.score_store import current_version
from semsim_pipeline.stages.state import read_embedding
from semsim_pipeline.stages.workspace import Workspace, known
from semsim_pipeline.store.json_file import read_json, write_json

if TYPE_CHECKING:
    from semsim_pipeline.plots.base import Picture

REPORT_VERSION = 5
"""Raised when the page of the same scores and pictures would look different."""
PAGE, VERSION_FILE = "index.html", "version.json"


def write_comparison_page(workspace: Workspace, name: str) -> Outcome:
    """Write a comparison's page and its JSON; nothing where both are there for exactly these scores and pictures.

    A pair whose pictures are not drawn yet is on the page without them. Raises UnknownNameError, StoreError, WorkError.
    """
    began = time.perf_counter()
    scored = scored_comparison(workspace, name)
    pictures = {key: _pictures_of(workspace.home, key, score) for key, score in scored.scores.items()}
    drawn: list[str] = [key for key, found in pictures.items() if found]
    version = _version(scored.comparison, scored.version, drawn)
    page = report_file(workspace.home, name)
    computed = written_version(workspace.home, name) != version
    if computed:
        _write(workspace, scored, pictures, page.parent)
        write_json(page.with_name(VERSION_FILE), {"version": version})
    return Outcome(
        stage="report",
        partition=name,
        version=version,
        computed=computed,
        seconds=time.perf_counter() - began,
        path=page,
        row_count=len(scored.scores),
        numbers={"pairs": len(scored.scores), "with_pictures": len(drawn), "bytes": page.stat().st_size},
        texts={"title": scored.comparison.title, "page": str(page)},
        pictures=read_pictures(matrix_folder(workspace.home, name, scored.version)) or (),
    )


def _version(comparison: Comparison, matrix: str, drawn: Sequence[str]) -> str:
    return digest_of([REPORT_VERSION, matrix, comparison.title, comparison.description, *drawn])


def page_version(workspace: Workspace, name: str, matrix: str) -> str:
    """The version that a page would have now; matrix: that of its comparison. Reads no score. Raises StoreError."""
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    scores = {key: current_version(workspace.home, key) for key in comparison.pairs}
    drawn = [
        key
        for key, score in scores.items()
        if score is not None and has_pictures(pictures_folder(workspace.home, key, pictures_version(score)))
    ]
    return _version(comparison, matrix, drawn)


def written_version(home: Path, name: str) -> str | None:
    """Of the page that is there, None without one. Raises StoreError."""
    page = report_file(home, name)
    said = read_json(page.with_name(VERSION_FILE))
    return str(said.get("version")) if said is not None and page.is_file() else None


def report_file(home: Path, name: str) -> Path:
    """Where the page of a comparison is."""
    return home / "reports" / name / PAGE


def _from_before(scored: ScoredComparison, key: str) -> str:
    reason = scored.from_before(key)
    return (
        f"From before ({scored.scores[key].scored_at}); it cannot be scored as things are: {reason}" if reason else ""
    )


def _pictures_of(home: Path, key: str, score: StoredScore) -> tuple[Picture, ...]:
    return stored_pictures(home, key, pictures_version(score.version)) or ()


def _digests(workspace: Workspace, scored: ScoredComparison) -> dict[str, str]:
    """The versions of the data behind the page: of the comparison, and of each dataset's manifest."""
    keys = {key for pair in scored.scores for key in workspace.catalog.pairs[pair].embeddings}
    states = {key: read_embedding(workspace.home, key) for key in sorted(keys)}
    manifests = {f"manifest of {key}": state.dataset.version for key, state in states.items() if state is not None}
    return {"comparison": scored.version, **manifests}


def _write(
    workspace: Workspace, scored: ScoredComparison, pictures: dict[str, tuple[Picture, ...]], folder: Path
) -> None:
    from semsim_pipeline.report.catalogue import ComparisonReport, PairPage, write_comparison_report

    comparison = scored.comparison
    # Where it was missing, the comparison can be made again from its catalogue alone.
    command = shlex.join(["semsim", "rescore", "--comparison", comparison.name])
    heatmaps = read_pictures(matrix_folder(workspace.home, comparison.name, scored.version)) or ()
    write_comparison_report(
        ComparisonReport(
            name=comparison.name,
            title=comparison.title,
            description=comparison.description,
            command=command,
            matrices=scored.matrices(),
            pairs=[
                PairPage(
                    key=key,
                    comparison=score.comparison,
                    pictures=pictures[key],
                    digests={"score": score.version, "scored at": score.scored_at},
                    from_before=_from_before(scored, key),
                )
                for key, score in scored.scores.items()
            ],
            heatmaps=heatmaps,
            missing={key: scored.failing[key].reason if key in scored.failing else "" for key in scored.missing},
            digests=_digests(workspace, scored),
        ),
        folder,
    )
