"""`semsim gc`: what nothing needs any more; told first, removed when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semsim_pipeline.stages.gc import Garbage

SHOWN = 20
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@click.command(short_help="What nothing needs any more: list it, or remove it.")
@click.option("--delete", is_flag=True, help="Remove it. Without this, it is only listed.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Keep what was written in so many days, needed or not.",
)
@click.option(
    "--forget-removed", is_flag=True, help="Also the histories and the keys of what the catalogue no longer has."
)
@click.option("--verbose", "-v", is_flag=True, help="Name every file.")
def gc(delete: bool, keep_days: float, forget_removed: bool, verbose: bool) -> None:
    """List what neither the catalogue nor a pair's history needs, with the bytes that it takes; or remove it.

    \b
    Example: semsim gc
             semsim gc --delete
             semsim gc --keep-days 7 --delete

    Goes: old versions of datasets, images in none of them, encoders that no comparison uses, pictures and pages of
    scores that are not the current ones, results of `semsim compare` of more than --keep-days ago, and what killed
    processes left. Stays: everything that a pair of the catalogue or a history needs, whatever is younger, what
    another process works on, backgrounds, downloads, Dagster's own files, and your images.
    """
    from semsim_pipeline.catalog import forget_removed as forget_keys
    from semsim_pipeline.catalog import load_catalog
    from semsim_pipeline.home import ensure_home
    from semsim_pipeline.stages.gc import InUse, collect
    from semsim_pipeline.stages.references import Policy

    home = ensure_home()
    policy = Policy(keep_days=keep_days, forget_removed=forget_removed)
    found: list[Garbage] = []
    for each in collect(home, load_catalog(home), policy, delete=delete):
        if isinstance(each, InUse):
            click.echo(f"{each.path} is in use by another process; left alone.", err=True)
        else:
            found.append(each)
    if delete and forget_removed:
        forget_keys(home)
    _print(found, deleted=delete, verbose=verbose)


def _print(found: Sequence[Garbage], *, deleted: bool, verbose: bool) -> None:
    from rich.markup import escape

    from semsim_pipeline.cli.output import bare_table, stdout

    console = stdout()
    if not found:
        console.print("Nothing to remove.")
        return
    table = bare_table()
    table.add_column("kind", no_wrap=True)
    table.add_column("things", justify="right")
    table.add_column("takes", justify="right", no_wrap=True)
    for kind in dict.fromkeys(each.kind for each in found):
        mine = [each for each in found if each.kind == kind]
        table.add_row(kind, f"{len(mine):,}", in_bytes(sum(each.bytes for each in mine)))
    console.print(table)
    shown = found if verbose else sorted(found, key=lambda each: -each.bytes)[:SHOWN]
    for each in shown:
        line = f"  {escape(str(each.path))}: {escape(each.why)}, {in_bytes(each.bytes)}"
        console.print(line, style="dim", soft_wrap=True)
    if len(shown) < len(found):
        console.print(f"  and {len(found) - len(shown):,} smaller ones (--verbose names all)", style="dim")
    total = in_bytes(sum(each.bytes for each in found))
    if deleted:
        console.print(f"Removed: {total}.")
    else:
        console.print(f"Nothing was removed. `semsim gc --delete` with the same options frees {total}.")


def in_bytes(count: int) -> str:
    """A size as a person says it.

    >>> in_bytes(512), in_bytes(3 * 2**20), in_bytes(5 * 2**30 + 2**29)
    ('512 bytes', '3.0 MiB', '5.5 GiB')
    """
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{count} bytes" if unit == 0 else f"{size:.1f} {UNITS[unit]}"
