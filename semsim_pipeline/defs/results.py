"""From a stage's outcome to what Dagster records: data version, numbers to plot, tables, previews, or a failure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from semsim_pipeline.catalog import KeyKind, removed_keys
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.home import semsim_home

if TYPE_CHECKING:
    from semsim_pipeline.plots.base import Picture
    from semsim_pipeline.stages.outcome import Outcome, Row

DATA_VERSION_TAG = "dagster/data_version"
DATA_VERSION_IS_OURS_TAG = "dagster/data_version_is_user_provided"

Materialized = dg.MaterializeResult[None]


KEYS_OF: Mapping[str, KeyKind] = {
    "dataset_manifest": "datasets",
    "embeddings": "embeddings",
    "pair_metrics": "pairs",
    "pair_plots": "pairs",
    "similarity_matrix": "comparisons",
    "report": "comparisons",
}
"""Which of the catalogue's keys each asset is partitioned by."""


def materialized(context: dg.AssetExecutionContext, stage: Callable[[], Outcome]) -> Materialized:
    """Run a stage; its data version is returned on a hit as well, so that nothing below it is asked for again.

    Raises dagster.Failure with the one line that says what is wrong: a user's mistake is not worth a retry.
    """
    from semsim_pipeline.stages.failures import WORK_ERRORS

    _refuse_removed(context.asset_key.to_user_string(), context.partition_key)
    try:
        outcome = stage()
    except WORK_ERRORS as error:
        said = str(error) or type(error).__name__  # Python runs out of memory without a word
        raise dg.Failure(description=said, allow_retries=not isinstance(error, SemsimError)) from error
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.version), metadata=metadata_of(outcome))


def _refuse_removed(asset: str, partition: str) -> None:
    """Raises dagster.Failure for a key that the catalogue no longer has: its data is left as it is.

    A failure and no silent success, because a backfill waits for a materialisation or a failure of each of its keys.
    """
    since = removed_keys(semsim_home()).get(KEYS_OF[asset], {}).get(partition)
    if since is not None:
        raise dg.Failure(
            description=f"{partition} was removed from the catalogue ({since:%Y-%m-%d %H:%M} UTC); nothing to do. What "
            "was computed for it is kept; put it into the catalogue again to go on with it.",
            allow_retries=False,
        )


def event_of(outcome: Outcome) -> dg.AssetMaterialization:
    """The same record for a partition that the bulk path brought up to date, inside its one run.

    It carries no code version: with one, Dagster takes the event for one that lists its inputs' versions too, and shows
    every partition as unsynced; without, it goes by time, and the bulk path writes upstream first.
    """
    return dg.AssetMaterialization(
        asset_key=outcome.stage,
        partition=outcome.partition,
        metadata=metadata_of(outcome),
        tags={DATA_VERSION_TAG: outcome.version, DATA_VERSION_IS_OURS_TAG: "true"},
    )


def metadata_of(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    """What the UI shows of a materialisation: pictures first, then numbers, words, the table."""
    found: dict[str, dg.MetadataValue] = {}
    for picture in outcome.pictures:
        found[picture.name] = dg.MetadataValue.md(f"**{picture.title}**\n\n![{picture.alt}]({_data_uri(picture)})")
    for name, number in outcome.numbers.items():
        found[name] = dg.MetadataValue.int(number) if isinstance(number, int) else dg.MetadataValue.float(number)
    for name, text in outcome.texts.items():
        found[name] = dg.MetadataValue.md(text) if "\n" in text else dg.MetadataValue.text(text)
    if outcome.rows:
        found["table"] = table(outcome.rows)
    if outcome.row_count is not None:
        found["dagster/row_count"] = dg.MetadataValue.int(outcome.row_count)
    found["dagster/uri"] = dg.MetadataValue.text(outcome.path.as_uri())
    found["computed"] = dg.MetadataValue.bool(outcome.computed)
    found["seconds"] = dg.MetadataValue.float(round(outcome.seconds, 3))
    return found


def table(rows: Sequence[Row]) -> dg.MetadataValue:
    """Rows (at least one, of the same columns) as the UI's table.

    Dagster takes no table with a gap in it: a column with one is of words, and the gap is an empty one.
    """
    kinds = {name: _kind([row[name] for row in rows]) for name in rows[0]}
    columns = [dg.TableColumn(name=name, type=kind) for name, kind in kinds.items()]
    records = [dg.TableRecord({name: _cell(row[name], kind) for name, kind in kinds.items()}) for row in rows]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def _kind(values: Sequence[str | int | float | None]) -> str:
    if all(isinstance(value, int) for value in values):
        return "int"
    return "float" if all(isinstance(value, int | float) for value in values) else "string"


def _cell(value: str | int | float | None, kind: str) -> str | int | float:
    if kind != "string" and value is not None:
        return value
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
