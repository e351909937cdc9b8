"""What others published, checked on this machine: values of pairs of sets, and rows of single images.

Of a pair, only the published quantity is computed: five mean cosines need one pass over the embeddings, not five score
cards. Of an image, the row that the publisher's own code gives, from the description beside the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.catalog import Catalog, Comparison, Pair, Published, open_named
from semsim_pipeline.comparison.published import Beside
from semsim_pipeline.comparison.selected import SelectedView, select_from_dataset
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.datasets.resolve import DatasetView
from semsim_pipeline.datasets.views import View
from semsim_pipeline.encoders.network import NetworkEncoder, ensure_weights
from semsim_pipeline.encoders.publisher import has_publisher, publishers_rows
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.metrics.cosine import mean_cosine
from semsim_pipeline.progress import Progress
from semsim_pipeline.store.embedding_set import EmbeddingSet

QUANTITIES = {"mean_cosine": mean_cosine}
"""What can be checked; a metric of the whole score card is compared by `semsim rescore` on its catalogue."""

TEST_IMAGES = ("astronaut", "chelsea", "coffee")
"""RGB images that scikit-image ships (in the public domain): a person, a cat, a cup; 512 x 512 and wider."""
LEAST_COSINE: Mapping[str, float] = MappingProxyType({"float32": 0.9999, "bfloat16": 0.999})
"""By the encoder's precision: how near our row is to the publisher's. Resampling may differ by two grey levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to check. encoder: an alias or what it stands for, None for all. dataset: a spec in place of the
    catalogue's, its classes in the column `by`. limit: images in all, None for every one."""

    encoder: str | None = None
    dataset: str | None = None
    by: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One published value and ours. reference, candidate: the sides as selected. n: images of each."""

    encoder: str
    fingerprint: str
    reference: str
    candidate: str
    n: tuple[int, int]
    beside: Beside


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedImage:
    """One image's row by the publisher's code and by ours. cosine: of the two, -1..1. least: that agrees."""

    encoder: str
    fingerprint: str
    image: str
    code: str
    cosine: float
    least: float

    @property
    def agrees(self) -> bool:
        """Whether the two rows point the same way."""
        return self.cosine >= self.least


def verify_published(catalog: Catalog, wanted: Wanted, home: Path, progress: Progress) -> Iterator[Checked]:
    """Every published value of the catalogue that is wanted, one encoder and dataset after the other.

    Raises WrongCallError (nothing is published for that, or a quantity that cannot be checked alone),
    UnknownNameError, MissingWeightsError, and what opening and embedding the dataset raises.
    """
    jobs = _jobs(catalog, wanted)
    for (alias, dataset), pairs in jobs.items():
        encoder = resolve_encoder(catalog.encoders[alias])
        ensure_weights(encoder, progress)
        whole = open_named(wanted.dataset) if wanted.dataset else catalog.datasets[dataset].view()
        if wanted.limit is not None:
            whole = replace(whole, view=whole.view.limited(wanted.limit))
        views: dict[str, View] = {}
        for pair, comparison, _ in pairs:  # before any work: a column that is not there
            for label, side in zip(comparison.labels[pair.key], (pair.reference, pair.candidate), strict=True):
                views[side.text] = _selection(whole, side.view, label, comparison, wanted)
        extraction = embed_view(whole, encoder, home, progress=progress)
        embeddings = EmbeddingSet.at(home, extraction.key)
        selected: dict[str, SelectedView] = {
            text: select_from_dataset(whole, view, extraction.manifest.path, embeddings) for text, view in views.items()
        }
        sets = open_sets(home, selected)
        for pair, _, published in pairs:
            one, other = pair.reference.text, pair.candidate.text
            yield Checked(
                encoder=encoder.name,
                fingerprint=extraction.key.fingerprint,
                reference=selected[one].name,
                candidate=selected[other].name,
                n=(selected[one].n, selected[other].n),
                beside=Beside(published=published, ours=QUANTITIES[published.metric](sets[one], sets[other])),
            )


def verify_images(catalog: Catalog, wanted: Wanted) -> Iterator[CheckedImage]:
    """Each test image under each wanted encoder of the catalogue's pairs whose weights lie in a repository on the hub.

    Of `wanted`, only `encoder` counts. Memory: one model at a time, the publisher's with its text tower.
    Raises MissingWeightsError, UnusableWeightsError, MissingLibraryError.
    """
    from skimage import data

    images: list[NDArray[np.uint8]] = [getattr(data, name)() for name in TEST_IMAGES]
    used = {pair.encoder for pair in catalog.pairs.values()}
    for alias, name in catalog.encoders.items():
        if alias not in used or wanted.encoder not in {None, alias, name}:
            continue
        encoder = resolve_encoder(name)
        if not isinstance(encoder, NetworkEncoder) or not has_publisher(encoder):
            continue
        ensure_weights(encoder)
        # Ours first: it refuses a checkpoint with code in it, whatever the publisher's library would do.
        loaded = encoder.load()
        ours = np.concatenate([loaded.encode(loaded.preprocess(image)[None]) for image in images])
        del loaded
        theirs = publishers_rows(encoder, images)
        fingerprint = encoder.fingerprint()
        for image, one, other in zip(TEST_IMAGES, ours, theirs, strict=True):
            yield CheckedImage(
                encoder=encoder.name,
                fingerprint=fingerprint,
                image=image,
                code=encoder.recipe.library,
                cosine=_cosine(one, other),
                least=LEAST_COSINE[encoder.recipe.precision],
            )


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """In float64, -1..1. NaN, which agrees with nothing, where a row is zero or not finite, or the widths differ."""
    if one.shape != other.shape:
        return float("nan")
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _jobs(catalog: Catalog, wanted: Wanted) -> Mapping[tuple[str, str], list[tuple[Pair, Comparison, Published]]]:
    """What is published, by the encoder's alias and the dataset."""
    found: dict[tuple[str, str], list[tuple[Pair, Comparison, Published]]] = {}
    known: dict[str, None] = {}
    for comparison in catalog.comparisons.values():
        for key, published in comparison.published.items():
            pair = catalog.pairs[key]
            known |= dict.fromkeys((pair.encoder, catalog.encoders[pair.encoder]))
            if wanted.encoder not in {None, pair.encoder, catalog.encoders[pair.encoder]}:
                continue
            if published.metric not in QUANTITIES:
                raise WrongCallError(
                    f"{published.metric!r} of {key} is of the whole score card: `semsim rescore --catalog` shows it "
                    f"beside ours. Checked here: {', '.join(QUANTITIES)}."
                )
            if pair.reference.dataset != pair.candidate.dataset:
                raise WrongCallError(f"{key} is of two datasets; only classes of one are checked here.")
            found.setdefault((pair.encoder, pair.reference.dataset), []).append((pair, comparison, published))
    if found:
        return found
    if not known:
        raise WrongCallError(f"{catalog.path} has no published values; a comparison states them under `published:`.")
    raise UnknownNameError(did_you_mean("encoder with published values", str(wanted.encoder), known))


def _selection(whole: DatasetView, view: View, label: str, comparison: Comparison, wanted: Wanted) -> View:
    """The rows of one side: the catalogue's filters, or the class by name in a dataset that was named instead."""
    if wanted.dataset is None:
        return View(base=whole.view.base, filters=view.filters)
    column = wanted.by or comparison.by
    columns = whole.source.label_columns
    if column not in columns:
        raise UnknownNameError(f"{did_you_mean(f'column of {whole.name}', str(column), columns)} Name it with --by.")
    return View(base=whole.view.base, filters=(*whole.view.filters, (column, (label,))))
