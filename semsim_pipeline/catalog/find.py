"""What `semsim compare` is given: a path, a dataset of the catalogue or an embedded set, or a view of one."""

from __future__ import annotations

from pathlib import Path

from semsim_pipeline.catalog.load import load_catalog
from semsim_pipeline.catalog.records import Catalog
from semsim_pipeline.catalog.spec import is_there
from semsim_pipeline.datasets.base import SOURCES
from semsim_pipeline.datasets.resolve import DatasetView, open_parsed
from semsim_pipeline.datasets.views import parse_view
from semsim_pipeline.errors import UnknownNameError, did_you_mean


def find_view(spec: str, catalog: Catalog) -> DatasetView:
    """As `datasets.resolve.open_view`, and the catalogue's names are known: an existing path wins, then they do.

    Raises ViewSyntaxError, MissingPathError, UnknownNameError, WrongCallError, CorruptSourceError.
    """
    view = parse_view(spec, exists=_exists)
    if not _exists(view.base):
        if view.base in catalog.datasets:
            return catalog.datasets[view.base].select(view)
        if _is_bare_name(view.base):
            kinds = [kind.name if kind.bare else f"{kind.name}:" for kind in SOURCES]
            raise UnknownNameError(
                f"{did_you_mean('dataset', view.base, {*catalog.datasets, *kinds})} "
                "A path to a folder, zip, tar or Parquet file is fine as well."
            )
    return open_parsed(view)


def open_named(spec: str, home: Path | None = None) -> DatasetView:
    """As `find_view` with the home's catalogue, which is read only where no path is meant.

    A catalogue with a typo in it must not stop anyone from comparing two folders. Raises CatalogError as well.
    """
    view = parse_view(spec, exists=_exists)
    return open_parsed(view) if _exists(view.base) else find_view(spec, load_catalog(home))


def _exists(path: str) -> bool:
    return is_there(path, Path.cwd())


def _is_bare_name(base: str) -> bool:
    """Whether this can only be meant as a name, and is none of a source."""
    return base not in SOURCES and not Path(base).suffix and not base.startswith("~") and not set(base) & set("/:")
