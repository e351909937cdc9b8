"""Reading a catalogue: which file, and from its text to a `Catalog` or to every problem in it at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ruamel.yaml.nodes import MappingNode

from semsim_pipeline.catalog.comparisons import Planner
from semsim_pipeline.catalog.document import Document, line_of
from semsim_pipeline.catalog.entries import read_datasets, read_encoders
from semsim_pipeline.catalog.records import Catalog
from semsim_pipeline.errors import CatalogError
from semsim_pipeline.home import semsim_home

FILE_NAME = "catalog.yaml"
PACKAGED = Path(__file__).with_name("default.yaml")
SECTIONS = ("datasets", "encoders", "comparisons")


def catalog_path(home: Path | None = None) -> Path:
    """Where the catalogue is, or would be. home: None for SEMSIM_HOME."""
    return (semsim_home() if home is None else home.absolute()) / FILE_NAME


def load_catalog(home: Path | None = None) -> Catalog:
    """The home's catalogue, or the packaged default where the home has none. Raises CatalogError."""
    path = catalog_path(home)
    text = catalog_text(path)
    return replace(read_catalog(PACKAGED), path=None) if text is None else parse(text, path)


def read_catalog(path: Path) -> Catalog:
    """The catalogue in a file. Raises CatalogError."""
    text = catalog_text(path)
    if text is None:
        raise CatalogError(f"There is no catalogue {path}.")
    return parse(text, path)


def catalog_text(path: Path) -> str | None:
    """A file's text, None where nothing is there at all. Raises CatalogError where something is and cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path.is_symlink():
            raise CatalogError(f"{path} is a link to something that is not there.") from error
        return None
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path} is no text in UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror or error}.") from error


def parse(text: str, where: Path) -> Catalog:
    """A catalogue's text. where: the file that it is from: in messages, and its folder is where relative paths start.

    Raises CatalogError: every problem, a line each (the first ten), all as `FILE:LINE: place: what, and what to do`.
    """
    where = where.absolute()
    document = Document(where)
    root = document.compose(text)
    if not isinstance(root, MappingNode):
        found = "the file is empty" if root is None else "the file is not a mapping"
        wanted = f"expected the sections {', '.join(SECTIONS)}. Without the file, the packaged catalogue is used."
        document.problem(1 if root is None else line_of(root), "", f"{found}: {wanted}")
        document.finish()
        return Catalog(path=where)
    sections = document.table(root, "", SECTIONS)
    datasets = read_datasets(document, sections.get("datasets"))
    encoders = read_encoders(document, sections.get("encoders"))
    planner = Planner(document, datasets, encoders)
    planner.read(sections.get("comparisons"))
    document.finish()
    return Catalog(
        path=where,
        datasets={name: dataset for name, dataset in datasets.items() if dataset is not None},
        encoders={alias: spec for alias, spec in encoders.items() if spec is not None},
        comparisons=planner.comparisons,
        pairs=planner.pairs,
    )
