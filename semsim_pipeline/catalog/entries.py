"""The two simple sections of a catalogue: datasets and encoders. An entry that is wrong is kept as None.

Its name is then still known, so that one mistake is reported once and not again by every comparison that uses it.
"""

from __future__ import annotations

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from semsim_pipeline.catalog.checkpoints import names_checkpoint, placed_checkpoint
from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.document import Document, Entry, line_of
from semsim_pipeline.catalog.records import NAME
from semsim_pipeline.catalog.spec import check_column, check_values, option_names, read_spec
from semsim_pipeline.datasets.base import SourceKind
from semsim_pipeline.datasets.views import View
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean

Values = dict[str, tuple[str, ...]]


def check_name(document: Document, line: int, at: str, name: str) -> bool:
    """Whether a name can be part of keys; reports it where not."""
    if NAME.fullmatch(name):
        return True
    rule = "letters A-Z and a-z, digits, '-' and '_', 48 at most, because it becomes part of keys"
    document.problem(line, at, f"the name {name!r} cannot be used: a name is made of {rule}.")
    return False


def read_datasets(document: Document, section: Entry | None) -> dict[str, Dataset | None]:
    """Every dataset by its name, in the order written."""
    out: dict[str, Dataset | None] = {}
    for name, (line, node) in _entries(document, section, "datasets"):
        out[name] = _dataset(document, name, line, node) if check_name(document, line, "datasets", name) else None
    return out


def read_encoders(document: Document, section: Entry | None) -> dict[str, str | None]:
    """Every alias and the encoder that it stands for, checkpoints with absolute paths."""
    out: dict[str, str | None] = {}
    for alias, (line, node) in _entries(document, section, "encoders"):
        at = f"encoders.{alias}"
        spec = document.text(node, at) if check_name(document, line, "encoders", alias) else None
        out[alias] = None if spec is None else _encoder(document, line_of(node), at, spec)
    return out


def _entries(document: Document, section: Entry | None, at: str) -> list[tuple[str, Entry]]:
    return [] if section is None else list(document.table(section[1], at).items())


def _dataset(document: Document, name: str, line: int, node: Node) -> Dataset | None:
    at = f"datasets.{name}"
    fields: dict[str, Entry] = {"spec": (line, node)}
    if not isinstance(node, ScalarNode):
        fields = document.table(node, at, ("spec", "values"))
        if "spec" not in fields:
            if isinstance(node, MappingNode):
                document.problem(line, at, "it has no spec; write NAME: SPEC, or NAME: {spec: SPEC, values: {...}}.")
            return None
    spec = document.text(fields["spec"][1], at)
    if spec is None:
        return None
    folder = document.where.parent
    try:
        kind, own = read_spec(spec, folder)
    except WrongCallError as error:
        document.problem(line_of(fields["spec"][1]), at, str(error))
        return None
    values = _values(document, f"{at}.values", fields.get("values"), kind)
    if values is None:
        return None
    try:
        known = _known(own, kind, values)
    except WrongCallError as error:
        document.problem(line, at, str(error))
        return None
    return Dataset(name=name, spec=spec, folder=folder, own=own, kind=None if kind is None else kind.name, values=known)


def _values(document: Document, at: str, entry: Entry | None, kind: SourceKind | None) -> Values | None:
    """The section `values`; None where something in it is wrong."""
    out: Values = {}
    fine = True
    for column, (line, node) in [] if entry is None else list(document.table(entry[1], at).items()):
        values = document.texts(node, f"{at}.{column}", "[cat, dog]")
        try:
            check_column(kind, column)
            check_values(kind, column, values)
        except WrongCallError as error:
            document.problem(line, f"{at}.{column}", str(error))
            fine = False
        out[column] = tuple(values)
    return out if fine else None


def _known(own: View, kind: SourceKind | None, values: Values) -> Values:
    """Columns to classes: the source's, those of `values` instead, and of them what the spec's own filters keep."""
    known = {**(kind.classes if kind is not None else {}), **values}
    for column, wanted in own.filters:
        if column in option_names(kind):
            continue
        check_column(kind, column, values)
        known[column] = restricted(column, known.get(column), wanted)
    return known


def restricted(column: str, known: tuple[str, ...] | None, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that a filter keeps, in their own order; a filter on an unknown column names its classes itself.

    Raises UnknownNameError for a value that the column does not have.
    """
    if known is None:
        return tuple(dict.fromkeys(wanted))
    for value in wanted:
        if value not in known:
            raise UnknownNameError(did_you_mean(column, value, known))
    return tuple(value for value in known if value in wanted)


def _encoder(document: Document, line: int, at: str, spec: str) -> str | None:
    family, colon, rest = spec.partition(":")
    if names_checkpoint(spec) or (colon and rest and f"{family}:" in ENCODERS):
        # What a family makes of the rest it says itself, and imports torch for it: seconds that loading does not have.
        return placed_checkpoint(spec, document.where.parent)
    try:
        resolve_encoder(spec)
    except WrongCallError as error:
        document.problem(line, at, str(error))
        return None
    return spec
