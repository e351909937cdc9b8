"""Stage 6, `report`: the page of a comparison, under one stable name, rewritten when anything on it changed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.comparison.published import beside
from semsim_pipeline.comparison.score_store import StoredScore, find_result
from semsim_pipeline.fingerprint import Plain, digest_of
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.stages.failures import Failures
from semsim_pipeline.stages.matrix import (
    ScoredComparison,
    comparison_version,
    found_versions,
    matrix_folder,
    scored_comparison,
    scored_versions,
)
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.picture_store import has_pictures, read_pictures
from semsim_pipeline.stages.pictures import pictures_folder, pictures_version, stored_pictures
from semsim_pipeline.stages.score_store import events_of
from semsim_pipeline.stages.state import read_embedding
from semsim_pipeline.stages.workspace import Workspace, known

if TYPE_CHECKING:
    from semsim_pipeline.plots.base import Picture

REPORT_VERSION = 8
"""Raised when the page of the same scores and pictures would look different."""
PAGE, VERSION_FILE = "index.html", "version.json"


def write_comparison_page(workspace: Workspace, name: str) -> Outcome:
    """Write a comparison's page and its JSON; nothing where both are there for exactly these scores and pictures.

    A pair whose pictures are not drawn yet is on the page without them. Raises UnknownNameError, StoreError, WorkError.
    """
    began = time.perf_counter()
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    scores = scored_versions(workspace.home, comparison)
    matrix = comparison_version(workspace, comparison, Failures(workspace.home))
    pictures = {key: _pictures_of(workspace.home, key, version) for key, version in scores.items()}
    page = report_file(workspace.home, name)
    version = _version(comparison, matrix, [key for key in scores if pictures[key]])
    computed = written_version(workspace.home, name) != version
    if computed:
        scored = scored_comparison(workspace, name)
        scores = {key: score.version for key, score in scored.scores.items()}  # a damaged score counts as none
        matrix = scored.version
        version = _version(comparison, matrix, [key for key in scores if pictures[key]])
        _write(workspace, scored, pictures, page.parent)
        write_json(page.with_name(VERSION_FILE), {"version": version})
    return Outcome(
        stage="report",
        partition=name,
        version=version,
        computed=computed,
        seconds=time.perf_counter() - began,
        path=page,
        row_count=len(scores),
        numbers={
            "pairs": len(scores),
            "with_pictures": sum(bool(pictures[key]) for key in scores),
            "bytes": page.stat().st_size,
        },
        texts={"title": comparison.title, "page": str(page)},
        pictures=read_pictures(matrix_folder(workspace.home, name, matrix)) or (),
    )


def _version(comparison: Comparison, matrix: str, drawn: Sequence[str]) -> str:
    published: list[Plain] = [
        [key, each.metric, each.value, each.tolerance, each.source] for key, each in comparison.published.items()
    ]
    return digest_of([REPORT_VERSION, matrix, comparison.title, comparison.description, published, *drawn])


def page_version(workspace: Workspace, name: str, matrix: str) -> str:
    """The version that a page would have now; matrix: that of its comparison. Reads no score. Raises StoreError."""
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    drawn = [
        key
        for key, score in found_versions(workspace.home, comparison).items()
        if has_pictures(pictures_folder(workspace.home, key, pictures_version(score)))
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


def _pictures_of(home: Path, key: str, version: str) -> Sequence[Picture]:
    return stored_pictures(home, key, pictures_version(version)) or ()


def _of_pair(home: Path, key: str, score: StoredScore) -> dict[str, str]:
    """A pair's small print: its score's version and time, and which score was valid before."""
    said = {"score": score.version, "scored at": score.scored_at}
    events = events_of(home, key)
    before = find_result(home, events[-2].version) if len(events) > 1 else None
    if before is not None:
        value = "no value" if before.comparison.value is None else f"{before.comparison.value:.3f}"
        said["the score before it"] = f"{value} until {events[-1].at[:10]} (semsim history {shlex.quote(key)})"
    return said


def _published(comparison: Comparison, key: str, score: StoredScore) -> str:
    theirs = comparison.published.get(key)
    return "" if theirs is None else beside(theirs, score.comparison).text


def _digests(workspace: Workspace, scored: ScoredComparison) -> dict[str, str]:
    """The versions of the data behind the page: of the comparison, and of each dataset's manifest."""
    keys = {key for pair in scored.scores for key in workspace.catalog.pairs[pair].embeddings}
    states = {key: read_embedding(workspace.home, key) for key in sorted(keys)}
    manifests = {f"manifest of {key}": state.dataset.version for key, state in states.items() if state is not None}
    return {"comparison": scored.version, **manifests}


def _write(
    workspace: Workspace, scored: ScoredComparison, pictures: Mapping[str, Sequence[Picture]], folder: Path
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
                    digests=_of_pair(workspace.home, key, score),
                    from_before=_from_before(scored, key),
                    published=_published(comparison, key, score),
                )
                for key, score in scored.scores.items()
            ],
            heatmaps=heatmaps,
            missing={key: scored.failing[key].reason if key in scored.failing else "" for key in scored.missing},
            digests=_digests(workspace, scored),
            publishers=tuple(dict.fromkeys(each.source for each in comparison.published.values())),
        ),
        folder,
    )
