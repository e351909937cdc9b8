"""The rows of a view that are embedded: what scoring and drawing start from, before a single number is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.comparison.confounds import confounds
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.datasets.base import Source
from semsim_pipeline.datasets.resolve import DatasetView, group_scope
from semsim_pipeline.datasets.selection import Sample
from semsim_pipeline.datasets.views import View
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, did_you_mean
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.extract.records import Extraction
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.hashes import HASHED, LoadedHashes
from semsim_pipeline.store.manifest import readable
from semsim_pipeline.store.reader import KnownIds
from semsim_pipeline.store.schema import LABEL_PREFIX, SetKey

if TYPE_CHECKING:
    import polars as pl

GROUP = "group"
FACTS = ("size", "width", "height", "format")
"""What a scan notes of a file beside its content: bytes, pixels, and its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedView:
    """The embedded rows of one view under one encoder.

    name: the view as asked for. rows: path, image_id, group, FACTS, stamp, locator and the labels, in the manifest's
    order, and the perceptual hash of each. failed: selected rows without an embedding. key: of the embedding set
    that holds the rows' numbers.   Memory: about 310 bytes a row.
    """

    name: str
    source: Source
    key: SetKey
    rows: pl.DataFrame
    failed: int
    _known: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def n(self) -> int:
        """Images that will be scored."""
        return len(self.rows)

    def groups(self) -> pl.Series:
        """Each row's group, scoped to its source where the name says nothing outside it; null where it has none."""
        return group_scope(self.source) + self.rows[GROUP]

    def class_columns(self) -> dict[str, list[str | None]]:
        """The label columns that tell classes apart here, by the label's name: two values and more."""
        columns = [name for name in self.rows.columns if name.startswith(LABEL_PREFIX)]
        return {
            name[len(LABEL_PREFIX) :]: self.rows[name].to_list()
            for name in columns
            if self.rows[name].drop_nulls().n_unique() > 1
        }

    def version(self) -> str:
        """SHA-256 in hex of what scores depend on: contents, groups and classes, in order, the encoder's set, the
        failures.

        Paths and stamps are no part of it, nor a label that all rows share: a renamed or touched file leaves every
        score as it is.
        Computed once: a class of 5,000 images takes 8 ms, and of a hundred classes each is in 99 pairs.
        """
        if not self._known:
            self._known.append(self._version())
        return self._known[0]

    def _version(self) -> str:
        import hashlib

        digest = hashlib.sha256()
        columns: list[Iterable[str | None]] = [self.rows["image_id"], self.groups(), *self.class_columns().values()]
        for column in columns:
            for value in column:
                digest.update((value or "").encode() + b"\n")
            digest.update(b"\0")
        if HASHED in self.rows.columns:
            # The hash itself follows from the image; whether it is known yet does not.
            digest.update(self.rows[HASHED].to_numpy().tobytes())
        return digest_of([digest.hexdigest(), self.key.digest, self.failed, list(self.class_columns())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store holds, looked up once for many views: a set's images, and (None: looked up each time) hashes."""

    images: KnownIds
    hashes: LoadedHashes | None = None


def select_all(name: str, source: Source, extraction: Extraction, home: Path) -> SelectedView:
    """Every embedded row of a manifest that was scanned for exactly this view."""
    embeddings = EmbeddingSet.at(home, extraction.key)
    rows = embedded_rows(embeddings, extraction.manifest.path)
    return SelectedView(
        name=name, source=source, key=extraction.key, rows=rows, failed=extraction.manifest.rows - len(rows)
    )


def select_from_dataset(
    dataset: DatasetView, view: View, manifest: Path, embeddings: EmbeddingSet, known: Known | None = None
) -> SelectedView:
    """What a view takes of a dataset whose manifest covers it whole: the same rows as scanning the view itself gives.

    view: filters and a limit on top of the dataset's own. known: of `embeddings`, where many views ask.
    Raises EmptyDatasetError, UnknownNameError (a value that its column does not hold).
    Memory: the manifest's paths, labels and ids.
    """
    frame = selected_rows(dataset, view, manifest)
    good = _kept(frame.lazy(), known or Known(images=KnownIds(embeddings)))
    if good.is_empty():
        raise EmptyDatasetError(f"None of the {len(frame)} images in {view.canonical()!r} could be used.")
    return SelectedView(
        name=view.canonical(), source=dataset.source, key=embeddings.key, rows=good, failed=len(frame) - len(good)
    )


def selected_rows(dataset: DatasetView, view: View, manifest: Path) -> pl.DataFrame:
    """The manifest's rows that a view selects, embedded or not. Raises EmptyDatasetError, UnknownNameError."""
    with readable(manifest):
        frame = _filtered(dataset, view, manifest)
    if frame.is_empty():
        raise EmptyDatasetError(f"No image of {dataset.name} is in {view.canonical()!r}.")
    if view.limit is not None and view.limit < len(frame):
        return _sampled(frame, view.limit, view.seed)
    return frame


def _filtered(dataset: DatasetView, view: View, manifest: Path) -> pl.DataFrame:
    import polars as pl

    known = {label: LABEL_PREFIX + label for label in dataset.source.label_columns} | {GROUP: GROUP}
    rows = everything = pl.scan_parquet(manifest)
    for column, values in view.filters:
        if column not in known:
            raise UnknownNameError(did_you_mean(f"key of {dataset.name}", column, known))
        found = pl.col(known[column]).fill_null("")
        missing = set(values) - set(everything.select(found.unique()).collect().to_series())
        if missing:
            held = everything.select(found.unique().head(1000)).collect().to_series().to_list()
            raise UnknownNameError(f"{did_you_mean(column, min(missing), held)} (In {view.canonical()!r}.)")
        rows = rows.filter(found.is_in(list(values)))
    return rows.collect()


def _sampled(frame: pl.DataFrame, limit: int, seed: int) -> pl.DataFrame:
    import polars as pl

    sample = Sample(limit, seed)
    paths = frame["path"].to_list()
    for path in paths:
        sample.add(path)
    sample.finish()
    return frame.filter(pl.Series([sample.takes(path) for path in paths]))


def embedded_rows(embeddings: EmbeddingSet, manifest: Path) -> pl.DataFrame:
    """The manifest's rows that have an embedding, in the manifest's order, with the columns of `SelectedView.rows`."""
    import polars as pl

    return _kept(pl.scan_parquet(manifest), Known(images=KnownIds(embeddings)))


def with_confounds(found: Comparison, reference: SelectedView, candidate: SelectedView) -> Comparison:
    """The comparison with what the files alone say of the sides; it follows from the contents, as the score does."""
    return replace(found, confounds=confounds(reference.rows, candidate.rows))


def _kept(rows: pl.LazyFrame, known: Known) -> pl.DataFrame:
    import polars as pl

    usable = (
        rows.filter(pl.col("status") == "ok")
        .select("path", "image_id", GROUP, *FACTS, "stamp", "locator", pl.col(f"^{LABEL_PREFIX}.*$"))
        .collect()
    )
    kept = usable.filter(pl.Series(known.images.holds(usable["image_id"])))
    return (known.hashes or image_hashes(known.images.home)).joined(kept)
