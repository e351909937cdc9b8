"""`semsim verify-published`: published values, computed again on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import click

from semsim_pipeline.cli.options import quiet_option

if TYPE_CHECKING:
    from rich.table import Table

    from semsim_pipeline.comparison.verify_published import Checked, CheckedImage

DEFAULT = "cifar10_classes"


@click.command("verify-published")
@click.option("--encoder", metavar="E", help="Only what was published for this encoder (its name, or its alias).")
@click.option("--catalog", default=DEFAULT, show_default=True, metavar="FILE", help="Whose `published:` is checked.")
@click.option("--dataset", metavar="SPEC", help="In place of the catalogue's dataset: one with the same classes.")
@click.option("--by", metavar="COLUMN", help="The column of SPEC that holds the classes.")
@click.option("--limit", type=click.IntRange(min=2), metavar="N", help="A fair sample of N images in all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@quiet_option
def verify_published(
    encoder: str | None,
    catalog: str,
    dataset: str | None,
    by: str | None,
    limit: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compute what others published and print ours beside theirs; exit with 1 where one departs.

    \b
    Example: semsim verify-published
             semsim verify-published --encoder clip-vit-b-32 --dataset "cifake:cifake.zip[label=REAL]" --by class

    Without options: the mean cosines of five pairs of CIFAR-10's classes under CLIP ViT-B/32. Weights and images are
    fetched where they are not here yet; embeddings are kept and reused.

    Then, for each encoder of the catalogue whose weights lie on the hub, three test images: the rows that the
    repository's own description gives in the publisher's library, beside ours.
    """
    from semsim_pipeline.catalog import read_catalog
    from semsim_pipeline.catalog.experiment import find_catalog
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.comparison.verify_published import Wanted, verify_images
    from semsim_pipeline.comparison.verify_published import verify_published as verify
    from semsim_pipeline.home import ensure_home

    wanted = Wanted(encoder=encoder, dataset=dataset, by=by, limit=limit)
    home = ensure_home()
    read = read_catalog(find_catalog(catalog))
    with shown(quiet=quiet or as_json) as progress:
        pairs = list(verify(read, wanted, home, progress))
    if not as_json:
        _print(pairs)  # now: an image that cannot be checked takes nothing of them away
    images = list(verify_images(read, wanted))
    if as_json:
        found = {"pairs": [_plain(each) for each in pairs], "images": [_plain_image(each) for each in images]}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_images(images)
    agree = all(each.beside.agrees for each in pairs) and all(each.agrees for each in images)
    return 0 if agree else 1


def _plain(each: Checked) -> dict[str, object]:
    beside = each.beside
    return {
        "encoder": each.encoder,
        "encoder_fingerprint": each.fingerprint,
        "reference": {"name": each.reference, "n": each.n[0]},
        "candidate": {"name": each.candidate, "n": each.n[1]},
        "metric": beside.published.metric,
        "published": beside.published.value,
        "ours": beside.ours,
        "difference": beside.difference,
        "tolerance": beside.published.tolerance,
        "agrees": beside.agrees,
        "source": beside.published.source,
    }


def _plain_image(each: CheckedImage) -> dict[str, object]:
    return {
        "encoder": each.encoder,
        "encoder_fingerprint": each.fingerprint,
        "image": each.image,
        "publishers_code": each.code,
        "cosine": each.cosine if isfinite(each.cosine) else None,
        "least": each.least,
        "agrees": each.agrees,
    }


def _print(found: list[Checked]) -> None:
    from semsim_pipeline.cli.output import stdout

    rows = [
        (
            (each.reference, each.candidate, each.encoder, each.beside.published.metric),
            (
                f"{each.beside.published.value:g}",
                "–" if each.beside.ours is None else f"{each.beside.ours:.4f}",
                "–" if each.beside.difference is None else f"{each.beside.difference:+.4f}",
                f"± {each.beside.published.tolerance:g}",
            ),
            each.beside.agrees,
        )
        for each in found
    ]
    console = stdout()
    names, numbers = ("reference", "candidate", "encoder", "metric"), ("published", "ours", "difference", "tolerance")
    console.print(_table(names, numbers, rows))
    for source in dict.fromkeys(each.beside.published.source for each in found):
        console.print(f"Published: {source}.", style="dim", markup=False)


def _print_images(found: list[CheckedImage]) -> None:
    from semsim_pipeline.cli.output import stdout

    if not found:
        return
    rows = [
        ((each.image, each.encoder, each.code), (f"{each.cosine:.6f}", f"{each.least:g}"), each.agrees)
        for each in found
    ]
    console = stdout()
    console.print()
    console.print(_table(("test image", "encoder", "publisher's code"), ("cosine with ours", "least"), rows))
    console.print("Published: the repository's own description of the weights beside it.", style="dim", markup=False)


def _table(
    names: Sequence[str], numbers: Sequence[str], rows: Iterable[tuple[Sequence[str], Sequence[str], bool]]
) -> Table:
    """What was checked, its numbers, and whether they agree."""
    from rich.markup import escape

    from semsim_pipeline.cli.output import bare_table

    table = bare_table()
    for column in names:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("agrees")
    for what, found, agrees in rows:
        table.add_row(*map(escape, what), *found, "yes" if agrees else "NO")
    return table
