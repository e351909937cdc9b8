"""Which background scales an encoder's scores: the user's own panel, the packaged one, or `panel-1` measured now."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from semsim_pipeline.catalog import open_named
from semsim_pipeline.comparison.selected import embedded_rows
from semsim_pipeline.datasets.base import fetch
from semsim_pipeline.encoders.background_store import Calibration, active_background, save_background
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view, usable_manifest
from semsim_pipeline.home import ensure_home, semsim_home
from semsim_pipeline.metrics.background import measure_background, require_categories
from semsim_pipeline.progress import Progress, Silent
from semsim_pipeline.records import Background
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import read
from semsim_pipeline.store.schema import LABEL_PREFIX

PANEL = "panel-1"


def background_for(
    encoder: Encoder, home: Path, options: ExtractOptions | None = None, progress: Progress | None = None
) -> Background:
    """The encoder's background; measured on the packaged panel where there is none yet, and kept.

    Raises what embedding the panel raises.
    """
    found = known_background(encoder.fingerprint(), home)
    if found is not None:
        return found
    (progress or Silent()).say(f"Measuring the background of {encoder.name} on {PANEL} (once).")
    return calibrate(encoder, PANEL, home, options, progress)


def calibrate(
    encoder: Encoder,
    panel: str,
    home: Path | None = None,
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> Background:
    """Measure an encoder's background on a labelled panel and make it the encoder's own from now on.

    panel: a view whose first label column tells unrelated categories apart.
    Raises, before anything is embedded: WrongCallError for a panel without labels, TooFewSamplesError below five
    categories, MissingWeightsError.
    """
    view = open_named(panel, home)
    fetch(view.source, progress or Silent())
    columns = view.source.label_columns
    if not columns:
        raise WrongCallError(f"The panel {panel!r} has no labels; a panel is one folder a category.")
    ensure_weights(encoder, progress)
    home = ensure_home(home)
    manifest = usable_manifest(view, encoder, home, progress)
    require_categories(_categories(manifest.path, columns[0]), view.name)
    extraction = embed_view(view, encoder, home, options, progress, manifest)
    embeddings = EmbeddingSet.at(home, extraction.key)
    rows = embedded_rows(embeddings, extraction.manifest.path)
    categories = [str(value) for value in rows[LABEL_PREFIX + columns[0]]]
    vectors = read(embeddings, rows["image_id"])
    measured = measure_background(vectors.astype(np.float64), categories, source=view.name)
    return save_background(
        home,
        Calibration(
            encoder_fingerprint=encoder.fingerprint(),
            panel=view.name,
            panel_digest=extraction.manifest.version,
            n=len(vectors),
            bandwidth=measured.bandwidth,
            kappa=measured.kappa,
            mean=measured.mean,
        ),
    )


def _categories(manifest: Path, column: str) -> int:
    import polars as pl

    rows = pl.scan_parquet(manifest).filter(pl.col("status") == "ok")
    return int(rows.select(pl.col(LABEL_PREFIX + column).n_unique()).collect().item())


def known_background(fingerprint: str, home: Path | None = None) -> Background | None:
    """The background in use for an encoder: the user's own calibration, else the packaged one, else None."""
    return active_background(home or semsim_home(), fingerprint)


def named_background(encoder: str) -> tuple[str, str, Background]:
    """(name, fingerprint, background) of an encoder named on the command line.

    Raises: UnknownNameError, MissingWeightsError; WrongCallError where the encoder has no background yet.
    """
    resolved = resolve_encoder(encoder)
    fingerprint = resolved.fingerprint()
    found = known_background(fingerprint)
    if found is None:
        raise WrongCallError(
            f"{encoder} has no background on this machine yet. Measure it once: "
            f"semsim encoders calibrate {encoder} --panel {PANEL}"
        )
    return resolved.name, fingerprint, found
