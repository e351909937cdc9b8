"""Gates of a dataset: its manifest, and its embeddings. They read what the stages wrote, never an image."""

from __future__ import annotations

from pathlib import Path

from semsim_pipeline.catalog import Catalog
from semsim_pipeline.catalog.records import Thresholds
from semsim_pipeline.errors import StoreError
from semsim_pipeline.stages.checks.counts import EmbeddedCounts, counts_of
from semsim_pipeline.stages.checks.records import CheckFacts, CheckResult, facts_of
from semsim_pipeline.stages.state import DatasetState, EmbeddingState, read_dataset, read_embedding
from semsim_pipeline.stages.workspace import Workspace, known, split_embedding_key
from semsim_pipeline.store.audit import PartAudit, audit
from semsim_pipeline.store.embedding_set import EMBED_AGAIN, EmbeddingSet
from semsim_pipeline.store.manifest import readable
from semsim_pipeline.store.schema import LABEL_PREFIX

LEAST_KEPT = 0.5
MOST_NAMED = 10


def check_dataset(workspace: Workspace, dataset: str) -> list[CheckResult]:
    """The gates of `dataset_manifest` for what the last scan found.

    Raises UnknownNameError; StoreError where the dataset was never scanned. Memory: two columns of the manifest.
    """
    known(workspace.catalog.datasets, "dataset", dataset)
    state = read_dataset(workspace.home, dataset)
    if state is None:
        raise StoreError(f"{dataset} was never scanned: materialise `dataset_manifest` of it, or run `semsim rescore`.")
    gates = facts_of("dataset_manifest")
    at = (dataset, state.version)
    most = patience(workspace.catalog, dataset)
    usable = state.rows - state.failed
    return [
        _found(
            gates["not_empty"],
            at,
            passed=usable > 0,
            message=f"{usable:,} of {state.rows:,} images can be opened"
            + ("" if usable else "; put the images back, or take the dataset out of the catalogue"),
            numbers={"images": state.rows, "usable": usable},
        ),
        _share(gates["images_readable"], at, (state.failed, state.rows, most), "cannot be opened"),
        _kept(gates["images_kept"], at, state),
        _classes(gates["classes_present"], at, workspace, state),
    ]


def check_embeddings(workspace: Workspace, partition: str) -> list[CheckResult]:
    """The gates of `embeddings` for `dataset@encoder`.

    What was read is remembered (`audit.json` of the set, `pipeline/checks` of the home): a hit costs a `stat` a part.
    A set is shared: what is wrong with parts that hold none of this dataset's images is another's matter.
    Raises StoreError where it was never embedded. Memory: one row group; on a miss 200 bytes an image of those parts.
    """
    state = read_embedding(workspace.home, partition)
    if state is None:
        raise StoreError(f"{partition} is not embedded yet: materialise `embeddings` of it, or run `semsim rescore`.")
    gates = facts_of("embeddings")
    at = (partition, state.version)
    embeddings = EmbeddingSet.at(workspace.home, state.key)
    parts = _parts_of(state, embeddings)
    broken = [each.problem for each in parts if each.problem is not None]
    whole = _found(
        gates["parts_whole"],
        at,
        passed=not broken and bool(parts),
        message=f"{broken[0]} {EMBED_AGAIN}" if broken else f"{len(parts):,} parts in {embeddings.folder.name}",
        numbers={"parts": len(parts), "damaged": len(broken)},
    )
    counts = counts_of(workspace.home, partition, state, embeddings, parts)
    most = patience(workspace.catalog, split_embedding_key(partition)[0])
    return [
        whole,  # first: who asks what stops it is told the cause, not what follows from it
        _accounted(gates["all_accounted"], at, state, counts),
        _sound(gates["vectors_sound"], at, counts, embeddings.dim or 0),
        _share(gates["images_embedded"], at, (counts.seen - counts.embedded, counts.seen, most), "have no embedding"),
    ]


def _parts_of(state: EmbeddingState, embeddings: EmbeddingSet) -> list[PartAudit]:
    """The parts that hold the dataset's images, as they are; all of the set where it is not known which do."""
    found = audit(embeddings)
    if state.files is None:
        return found
    here = embeddings.folder.relative_to(embeddings.home).as_posix()
    mine = {Path(name).name for name in state.files if Path(name).parent.as_posix() == here}
    return [each for each in found if each.name in mine]


def patience(catalog: Catalog, dataset: str) -> float:
    """The largest share of unreadable images that some comparison of the dataset lets pass."""
    found = [
        comparison.thresholds.failed_images
        for comparison in catalog.comparisons.values()
        if any(key.rpartition("@")[0] == dataset for pair in comparison.pairs for key in catalog.pairs[pair].embeddings)
    ]
    return max(found, default=Thresholds().failed_images)


def _found(
    facts: CheckFacts,
    at: tuple[str, str],
    *,
    passed: bool,
    message: str,
    numbers: dict[str, float | int] | None = None,
) -> CheckResult:
    partition, version = at
    return CheckResult(
        facts=facts, partition=partition, version=version, passed=passed, message=f"{message}.", numbers=numbers or {}
    )


def _share(facts: CheckFacts, at: tuple[str, str], counted: tuple[int, int, float], what: str) -> CheckResult:
    bad, of, most = counted
    share = bad / of if of else 0.0
    return _found(
        facts,
        at,
        passed=share <= most,
        message=f"{bad:,} of {of:,} images ({share:.1%}) {what}; up to {most:.1%} may"
        + ("" if share <= most else ". Mend or remove them, or raise `thresholds: {failed_images: …}`"),
        numbers={"share": share, "allowed": most},
    )


def _kept(facts: CheckFacts, at: tuple[str, str], state: DatasetState) -> CheckResult:
    before = state.rows_before
    if before is None:
        return _found(facts, at, passed=True, message=f"{state.rows:,} images; there is no other scan to compare with")
    passed = state.rows >= LEAST_KEPT * before
    return _found(
        facts,
        at,
        passed=passed,
        message=f"{before:,} → {state.rows:,} images" + ("" if passed else "; is a part of them missing?"),
        numbers={"images": state.rows, "before": before},
    )


def _classes(facts: CheckFacts, at: tuple[str, str], workspace: Workspace, state: DatasetState) -> CheckResult:
    declared = workspace.catalog.datasets[at[0]].values
    missing = []
    for column, values in declared.items():
        held = _values(Path(state.path), LABEL_PREFIX + column)
        missing += [f"{column}={value}" for value in values if value not in held]
    shown = ", ".join(missing[:MOST_NAMED]) + (f" and {len(missing) - MOST_NAMED} more" if missing[MOST_NAMED:] else "")
    count = sum(len(values) for values in declared.values())
    return _found(
        facts,
        at,
        passed=not missing,
        message=f"no image of {shown}: the pairs of these classes cannot be scored"
        if missing
        else f"each of {count:,} declared classes has images",
        numbers={"declared": count, "missing": len(missing)},
    )


def _values(manifest: Path, column: str) -> set[str]:
    import polars as pl

    with readable(manifest):
        rows = pl.scan_parquet(manifest)
        if column not in rows.collect_schema().names():
            return set()
        return set(rows.select(pl.col(column).unique().drop_nulls()).collect().to_series())


def _accounted(facts: CheckFacts, at: tuple[str, str], state: EmbeddingState, counts: EmbeddedCounts) -> CheckResult:
    said = f"{counts.seen:,} seen = {counts.embedded:,} embedded + {counts.failed:,} failed"
    if counts.missing:
        said += f" + {counts.missing:,} of which nothing is known: they changed while they were read; run again"
    elif counts.embedded != state.embedded:
        said += f", but {state.embedded:,} were embedded before. {EMBED_AGAIN.rstrip('.')}"
    return _found(
        facts,
        at,
        passed=not counts.missing and counts.embedded == state.embedded,
        message=said,
        numbers={"seen": counts.seen, "embedded": counts.embedded, "failed": counts.failed, "missing": counts.missing},
    )


def _sound(facts: CheckFacts, at: tuple[str, str], counts: EmbeddedCounts, width: int) -> CheckResult:
    passed = not counts.not_finite and not counts.zero
    return _found(
        facts,
        at,
        passed=passed,
        message=f"{counts.embedded:,} embeddings of width {width}, "
        + (
            "all finite and none all zeros"
            if passed
            else f"{counts.not_finite:,} with NaN or infinity, {counts.zero:,} all zeros: the encoder's weights are "
            "damaged, or it cannot see these images"
        ),
        numbers={"width": width, "not_finite": counts.not_finite, "all_zero": counts.zero},
    )
