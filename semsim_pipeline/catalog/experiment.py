"""A catalogue that lies elsewhere, run in a home of its own: nothing of the user's own catalogue is touched."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from semsim_pipeline.catalog.checkpoints import placed_checkpoint
from semsim_pipeline.catalog.document import Document
from semsim_pipeline.catalog.load import catalog_path, catalog_text, parse
from semsim_pipeline.catalog.records import NAME
from semsim_pipeline.catalog.spec import relocated
from semsim_pipeline.errors import CatalogError, WrongCallError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.home import ensure_home, share_downloads
from semsim_pipeline.store.writer import write_text

FOLDER = "experiments"
MARK = "# Copied by --catalog from "
PACKAGED = Path(__file__).with_name("experiments")


def find_catalog(text: str) -> Path:
    """A catalogue's file as it is named: a path, or a packaged experiment (`cifake`). Raises WrongCallError."""
    path = Path(text).expanduser()
    packaged = PACKAGED / f"{text}.yaml"
    if path.is_file():
        return path.absolute()
    if NAME.fullmatch(text) and packaged.is_file():
        return packaged
    known = ", ".join(sorted(each.stem for each in PACKAGED.glob("*.yaml")))
    raise WrongCallError(f"There is no catalogue {text!r}: name a file, or one of the packaged experiments: {known}.")


def experiment_home(file: Path, home: Path) -> Path:
    """A home for the catalogue in `file`, below `home`: its catalogue is a copy whose paths mean the same, and what
    either fetches the other has.

    The copy follows the file. One that was edited is kept as long as the file stays as it was. Raises CatalogError (the
    file is wrong, or both were changed), WrongCallError (a name that no folder can have), StoreError.
    """
    if not NAME.fullmatch(file.stem):
        raise WrongCallError(f"{file.name} cannot name a home: use letters, digits, '-' and '_', 48 at most.")
    text = catalog_text(file)
    if text is None:
        raise CatalogError(f"There is no catalogue {file}.")
    parse(text, file)
    folder = ensure_home(home / FOLDER / file.stem)
    share_downloads(folder)
    target = catalog_path(folder)
    body = _moved(text, file, folder)
    head = f"{MARK}{file} ({digest_of([text])[:12]}, {digest_of([body])[:12]}); edit that one.\n"
    before = catalog_text(target)
    if before is not None:
        first, _, rest = before.partition("\n")
        if f"{first}\n" == head:
            return folder  # of this very file, edited here or not
        if not first.startswith(f"{MARK}{file} (") or f", {digest_of([rest])[:12]})" not in first:
            raise CatalogError(
                f"{target} is not what --catalog wrote there: it was edited, or copied from another file. Move it "
                f"away, or work on it with SEMSIM_HOME={folder}."
            )
    write_text(target, head + body)
    return folder


def _moved(text: str, file: Path, folder: Path) -> str:
    """The text with every dataset's and checkpoint's place as `folder` sees it; nothing else is changed.

    A packaged catalogue lies where nobody keeps images: its relative places start in the working folder.
    """
    here = Path.cwd() if file.parent == PACKAGED else file.parent
    root = Document(file).compose(text)
    places: list[tuple[int, int, str]] = []
    for node in _values(root, "datasets"):
        spec = _entry(node, "spec") if isinstance(node, MappingNode) else node
        if isinstance(spec, ScalarNode):
            _note(places, spec, relocated(spec.value, here, folder))
    for node in _values(root, "encoders"):
        if isinstance(node, ScalarNode):
            _note(places, node, placed_checkpoint(str(node.value), here))
    for start, end, new in sorted(places, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _note(places: list[tuple[int, int, str]], node: ScalarNode, new: str) -> None:
    if new != node.value:
        quoted = "'" + new.replace("'", "''") + "'"
        places.append((node.start_mark.index, node.end_mark.index, quoted))


def _entry(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _values(root: Node | None, section: str) -> list[Node]:
    found = _entry(root, section)
    return [value for _, value in found.value] if isinstance(found, MappingNode) else []
