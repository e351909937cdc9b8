"""New entries of the catalogue: datasets, encoders, pairs, comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from semsim_pipeline.catalog.checkpoints import placed_checkpoint
from semsim_pipeline.catalog.classes import UNLABELLED
from semsim_pipeline.catalog.edit import Draft, Edited, edit
from semsim_pipeline.catalog.load import catalog_path
from semsim_pipeline.catalog.records import NAME, Catalog
from semsim_pipeline.catalog.spec import relocated
from semsim_pipeline.catalog.surgery import Value
from semsim_pipeline.datasets.base import fetch, is_here
from semsim_pipeline.datasets.resolve import DatasetView, open_view
from semsim_pipeline.datasets.stamp import Watchable
from semsim_pipeline.datasets.views import parse_view
from semsim_pipeline.encoders import DEFAULT_ENCODER
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.progress import Progress, Silent


def add_dataset(
    home: Path,
    name: str,
    spec: str,
    values: Sequence[str] = (),
    *,
    look: bool = True,
    progress: Progress | None = None,
) -> Edited:
    """A name for a source. spec: as on the command line here. values: `label=cat|dog`, or `label` for the classes that
    a listing shows now, for which it is fetched where it comes over a network. look: the source must open; of one that
    is not here yet, its server must have it.

    Raises MissingPathError and what else opening raises; CatalogError; WrongCallError for a name that is taken.
    """
    listed = any("=" not in each for each in values)
    opened = open_view(spec) if look or listed else None
    if opened is not None and listed:
        fetch(opened.source, progress or Silent())
    elif opened is not None and not is_here(opened.source) and isinstance(opened.source, Watchable):
        opened.source.stamp()  # it must be there to be fetched later
    declared = dict(_column(each, opened) for each in values)
    stored = relocated(spec, Path.cwd(), catalog_path(home).parent)

    def change(draft: Draft) -> None:
        value: Value = {"spec": stored, "values": declared} if declared else stored
        draft.add("datasets", name, value)
        draft.said.append(f"Added dataset {name}: {stored}" + "".join(map(_shown, declared.items())))

    return edit(home, change, (lambda after: after.datasets[name].view()) if look else None)


def add_encoder(home: Path, alias: str, encoder: str) -> Edited:
    """An alias for an encoder, a checkpoint's path as it is meant here. Raises as `resolve_encoder`; CatalogError."""
    resolve_encoder(encoder)
    stored = placed_checkpoint(encoder, Path.cwd())

    def change(draft: Draft) -> None:
        draft.add("encoders", alias, stored)
        draft.said.append(f"Added encoder {alias}: {stored}")

    return edit(home, change)


def add_pair(home: Path, sides: tuple[str, str], encoders: Sequence[str] = (), comparison: str | None = None) -> Edited:
    """Two sides to compare, in a comparison that lists pairs; it is made where it is not there.

    encoders: aliases, or encoders that get their own name as alias; none for all of the catalogue's. comparison: by
    itself `pairs`, with encoders `pairs-ALIAS`. Raises CatalogError, UnknownNameError, WrongCallError.
    """

    def change(draft: Draft) -> None:
        texts = [_side(draft.catalog, side) for side in sides]
        aliases = _aliases(draft, encoders)
        name = comparison or "-".join(["pairs", *dict.fromkeys(encoders)])
        if name in draft.data.get("comparisons", {}):
            _check_fits(draft, name, aliases)
            draft.add_pair(name, texts)
        else:
            draft.add("comparisons", name, {"pairs": [texts], **({"encoders": aliases} if aliases else {})})
        draft.said.append(f"Added {texts[0]} against {texts[1]} to the comparison {name}")

    return edit(home, change)


def add_comparison(home: Path, name: str, fields: Mapping[str, Value], encoders: Sequence[str] = ()) -> Edited:
    """A comparison as it is to be written, its sides and encoders checked. Raises as `add_pair`."""

    def change(draft: Draft) -> None:
        entry = dict(fields)
        for key in ("across", "reference", "candidate"):
            side = entry.get(key)
            if isinstance(side, str):
                entry[key] = _side(draft.catalog, side)
        aliases = _aliases(draft, encoders)
        draft.add("comparisons", name, {**entry, **({"encoders": aliases} if aliases else {})})
        draft.said.append(f"Added comparison {name}")

    return edit(home, change)


def _column(text: str, opened: DatasetView | None) -> tuple[str, Sequence[str]]:
    """`label=cat|dog`, or `label` with the classes that the listing shows. Raises WrongCallError, ViewSyntaxError."""
    if "=" in text:
        filters = parse_view(f"x[{text}]").filters
        if len(filters) != 1:
            raise WrongCallError(f"--values {text!r}: name one column, such as --values 'label=cat|dog'.")
        return filters[0]
    assert opened is not None  # opened where a column comes without its classes
    columns = opened.source.label_columns
    if text not in columns:
        raise UnknownNameError(did_you_mean("label column", text, columns))
    found = sorted({item.labels[text] for item in opened.select() if text in item.labels} - {UNLABELLED})
    if not found:
        raise EmptyDatasetError(f"{opened.name} shows no class of {text!r}; name them: --values '{text}=cat|dog'.")
    return text, found


def _shown(entry: tuple[str, Iterable[str]]) -> str:
    column, values = entry
    return f", {column}: {', '.join(values)}"


def _side(catalog: Catalog, text: str) -> str:
    """A side in its one spelling. Raises UnknownNameError where it is of no dataset of the catalogue."""
    view = parse_view(text)
    if view.base not in catalog.datasets:
        hint = f" Give it a name first: semsim catalog add dataset NAME {view.base}"
        raise UnknownNameError(f"{did_you_mean('dataset of the catalogue', view.base, catalog.datasets)}{hint}")
    return view.canonical()


def _aliases(draft: Draft, encoders: Sequence[str]) -> list[str]:
    """Aliases to be named; an encoder that has none gets its own name. The default where the catalogue has none."""
    known = draft.catalog.encoders
    wanted = list(dict.fromkeys(encoders)) or ([] if known else [DEFAULT_ENCODER])
    for encoder in wanted:
        if encoder in draft.data.get("encoders", {}):
            continue
        if not NAME.fullmatch(encoder):
            resolve_encoder(encoder)
            raise WrongCallError(
                f"{encoder!r} needs an alias, because names become part of keys: semsim catalog add encoder ALIAS "
                f"{encoder!r}"
            )
        try:
            resolve_encoder(encoder)
        except UnknownNameError as error:
            raise UnknownNameError(f"{did_you_mean('encoder of the catalogue', encoder, known)} {error}") from error
        draft.add("encoders", encoder, encoder)
        draft.said.append(f"Added encoder {encoder}: {encoder}")
    return wanted


def _check_fits(draft: Draft, name: str, aliases: Sequence[str]) -> None:
    """Raises WrongCallError where a comparison lists no pairs, or is under other encoders."""
    entry = draft.entry("comparisons", name)
    if "pairs" not in entry:
        raise WrongCallError(f"{name!r} takes its pairs from the classes of a dataset; add to another: --comparison X")
    own = list(draft.catalog.comparisons[name].encoders)
    if aliases and sorted(aliases) != sorted(own):
        raise WrongCallError(
            f"{name!r} is under {', '.join(own)}, not {', '.join(aliases)}, and all pairs of a comparison have its "
            "encoders. Add to another: --comparison X"
        )
