"""The JSON of a table of classes."""

from __future__ import annotations

from semsim_pipeline.metrics.class_table import ClassTable, MatchedClasses

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def classes_json(table: ClassTable | None, reason: str | None) -> dict[str, Json]:
    """`{"classes": …}`, or nothing where there was nothing to tell classes by.

    `tables_reason` and `frechet_distance_reason` are there only where a table is null, or cells of it are.
    """
    if table is None:
        return {} if reason is None else {"classes": {"status": "not_computed", "reason": reason}}
    columns = table.columns
    return {
        "classes": {
            "status": "ok",
            "kind": "clusters" if table.clustered else "labels",
            "columns": None if columns is None else {"reference": columns[0], "candidate": columns[1]},
            "reference": _sized(table.reference_classes, table.reference_sizes),
            "candidate": _sized(table.candidate_classes, table.candidate_sizes),
            "similarity": [list(row) for row in table.similarities] or None,
            "frechet_distance": [list(row) for row in table.frechet_distances] or None,
            "matches": [_match(match) for match in table.matches],
            "mean_similarity": table.mean_similarity,
            "mean_floor": table.mean_floor,
            "left_out": {"reference": list(table.left_out_reference), "candidate": list(table.left_out_candidate)},
            "exact": table.exact,
            **({} if table.tables_reason is None else {"tables_reason": table.tables_reason}),
            **({} if table.gaussians_reason is None else {"frechet_distance_reason": table.gaussians_reason}),
        }
    }


def _sized(names: tuple[str, ...], sizes: tuple[int, ...]) -> Json:
    return [{"name": name, "n": size} for name, size in zip(names, sizes, strict=True)]


def _match(match: MatchedClasses) -> Json:
    return {
        "reference": match.reference,
        "candidate": match.candidate,
        "similarity": match.similarity,
        "floor": match.floor,
        "frechet_distance": match.frechet_distance,
        "margin": match.margin,
    }
