"""Values that somebody published for a comparison's pairs, shown beside ours; no score depends on them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ruamel.yaml.nodes import Node, ScalarNode

from semsim_pipeline.catalog.document import Document, Entry, line_of

KEYS = ("source", "encoder", "metric", "tolerance", "values")
ROW = "[cat, dog, 0.827]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One value. metric: of the score card, or `similarity` for the score. tolerance: how far ours may be off before
    it counts as another result. source: who published it, in words."""

    metric: str
    value: float
    tolerance: float
    source: str


def read_published(
    document: Document,
    at: str,
    entry: Entry | None,
    labels: Mapping[str, tuple[str, str]],
    encoders: Collection[str],
) -> dict[str, Published]:
    """Key of a pair to what was published for it; problems go to the document.

    labels: each key's row and column, in either order of which a value may name them.
    """
    if entry is None:
        return {}
    line, node = entry
    fields = document.table(node, at, KEYS)
    missing = [key for key in KEYS if key not in fields]
    if missing:
        document.problem(line, at, f"it needs {', '.join(missing)}; write source, encoder, metric, tolerance, values.")
        return {}
    source, encoder, metric = (document.text(fields[key][1], f"{at}.{key}") or "" for key in KEYS[:3])
    tolerance = _number(document, f"{at}.tolerance", fields["tolerance"][1])
    if encoder not in encoders:
        document.unknown(fields["encoder"][0], f"{at}.encoder", "encoder alias of the comparison", encoder, encoders)
        return {}
    if tolerance is not None and tolerance < 0:
        document.problem(fields["tolerance"][0], f"{at}.tolerance", "a tolerance is 0 or more.")
    keys = {places: key for key, places in labels.items() if _alias(key) == encoder}
    out: dict[str, Published] = {}
    for number, item in enumerate(document.items(fields["values"][1], f"{at}.values", f"[{ROW}]"), 1):
        here = f"{at}.values[{number}]"
        parts = document.items(item, here, ROW)
        if len(parts) != 3:
            document.problem(
                line_of(item), here, f"expected two classes and a number, {ROW}; found {len(parts)} items."
            )
            continue
        one, other = (document.text(part, here) or "" for part in parts[:2])
        value = _number(document, here, parts[2])
        key = keys.get((one, other)) or keys.get((other, one))
        if key is None:
            document.problem(line_of(item), here, f"this comparison has no pair of {one!r} and {other!r}.")
        elif value is not None and tolerance is not None:
            out[key] = Published(metric=metric, value=value, tolerance=tolerance, source=source)
    return out


def _alias(key: str) -> str:
    return key.rpartition("@")[2].partition(".")[0]  # a seed other than 0 comes after a dot


def _number(document: Document, at: str, node: Node) -> float | None:
    text = node.value if isinstance(node, ScalarNode) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    document.problem(line_of(node), at, f"expected a number such as 0.827; found {text!r}.")
    return None
