"""`semsim catalog`: the catalogue's entries, added, removed, listed and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from semsim_pipeline.catalog.edit import Edited
    from semsim_pipeline.catalog.surgery import Value

F = TypeVar("F", bound=Callable[..., Any])


def encoder_option(function: F) -> F:
    """--encoder E, more than once for several."""
    said = "An encoder or its alias [default: all there are]."
    return click.option("--encoder", "-e", "encoders", multiple=True, metavar="E", help=said)(function)


@click.group(short_help="Edit the catalogue: add, remove, list, check.")
def catalog() -> None:
    """Edit $SEMSIM_HOME/catalog.yaml, its comments and layout kept: what there is, and what is compared.

    \b
    Example: semsim catalog add dataset real photos/real --values label
             semsim catalog add dataset made renders.zip
             semsim catalog add pair real made --encoder clip-vit-b-32
             semsim catalog check

    A running `semsim ui` shows an edit within a minute, whether it was made here or in an editor.
    """


@catalog.group(short_help="A dataset, an encoder, a pair, a comparison.")
def add() -> None:
    """Add an entry.

    \b
    Example: semsim catalog add dataset photos "photos.zip[limit=500]"
             semsim catalog add pair photos renders
    """


@add.command(short_help="A name for a folder, an archive, a Parquet file.")
@click.argument("name")
@click.argument("spec")
@click.option(
    "--values",
    multiple=True,
    metavar="COLUMN[=A|B]",
    help="The classes of a column; without them, those there are now. Needed to compare class by class.",
)
@click.option("--unseen", is_flag=True, help="It need not be there yet: do not open it.")
def dataset(name: str, spec: str, values: tuple[str, ...], unseen: bool) -> None:
    """Call a source NAME. SPEC is as in `semsim compare`; a relative path starts at the working folder.

    \b
    Example: semsim catalog add dataset photos photos/2023
             semsim catalog add dataset shop shop.zip --values "label=shoes|bags"
             semsim catalog add dataset shop shop.zip --values label
    """
    from semsim_pipeline.catalog.add import add_dataset
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.home import semsim_home

    with shown(quiet=False) as progress:
        edited = add_dataset(semsim_home(), name, spec, values, look=not unseen, progress=progress)
    _say(edited)


@add.command(short_help="An alias for an encoder.")
@click.argument("alias")
@click.argument("encoder")
def encoder(alias: str, encoder: str) -> None:
    """Call an encoder ALIAS; keys show the alias.

    \b
    Example: semsim catalog add encoder clip "open_clip:ViT-B-32/laion2b_s34b_b79k"
    """
    from semsim_pipeline.catalog.add import add_encoder
    from semsim_pipeline.home import semsim_home

    _say(add_encoder(semsim_home(), alias, encoder))


@add.command(short_help="Two datasets or views to compare.")
@click.argument("reference")
@click.argument("candidate")
@encoder_option
@click.option("--comparison", metavar="NAME", help="Where to list it [default: pairs, or pairs-ENCODER].")
def pair(reference: str, candidate: str, encoders: tuple[str, ...], comparison: str | None) -> None:
    """Compare two datasets of the catalogue, or views of them.

    \b
    Example: semsim catalog add pair real made
             semsim catalog add pair "real[label=cat]" "made[label=cat]" --comparison cats -e clip-vit-b-32
    """
    from semsim_pipeline.catalog.add import add_pair
    from semsim_pipeline.home import semsim_home

    _say(add_pair(semsim_home(), (reference, candidate), encoders, comparison))


@add.command(short_help="Classes against each other, or class by class.")
@click.argument("name")
@click.option("--across", metavar="A", help="Every two classes of this dataset; with --by.")
@click.option("--by", metavar="COLUMN", help="The column of the classes.")
@click.option("--reference", metavar="A", help="Class by class against --candidate; with --match.")
@click.option("--candidate", metavar="B", help="What is compared with --reference.")
@click.option("--match", metavar="COLUMN", help="The column of the classes that both have.")
@encoder_option
@click.option("--limit", type=click.IntRange(min=1), help="At most N images a side.")
@click.option("--seed", type=click.IntRange(min=0), help="Of every draw.")
@click.option("--title", metavar="TEXT", help="Its name on pages.")
@click.option("--schedule", metavar="CRON", help="When it is brought up to date, such as '30 3 * * 1-5'.")
@click.option("--min-similarity", type=click.FloatRange(0, 1), metavar="X", help="A score below X fails a check.")
@click.option("--max-failed", type=click.FloatRange(0, 1), metavar="X", help="A larger share of unreadable images too.")
def comparison(
    name: str, encoders: tuple[str, ...], min_similarity: float | None, max_failed: float | None, **fields: object
) -> None:
    """Compare every two classes of a dataset, or two datasets class by class.

    \b
    Example: semsim catalog add comparison classes --across real --by label
             semsim catalog add comparison by-class --reference real --candidate made --match label
    """
    from semsim_pipeline.catalog.add import add_comparison
    from semsim_pipeline.home import semsim_home

    # As the command lists its options, whatever their order in this call.
    order = [each.name for each in click.get_current_context().command.params if each.name in fields]
    entry: dict[str, Value] = {str(key): str(fields[key]) for key in order if key and fields[key] is not None}
    thresholds = {"similarity": min_similarity, "failed_images": max_failed}
    given: dict[str, Value] = {key: f"{value:.9g}" for key, value in thresholds.items() if value is not None}
    _say(add_comparison(semsim_home(), name, entry | ({"thresholds": given} if given else {}), encoders))


@catalog.group(short_help="A dataset, an encoder, a pair, a comparison.")
def remove() -> None:
    """Remove an entry; what was computed for it stays in the store.

    \b
    Example: semsim catalog remove pair real made
             semsim catalog remove dataset made
    """


@remove.command("dataset", short_help="A dataset that no comparison uses.")
@click.argument("name")
def remove_dataset(name: str) -> None:
    """Remove a dataset; refused, with their names, while comparisons use it.

    \b
    Example: semsim catalog remove dataset made
    """
    from semsim_pipeline.catalog import remove as removing
    from semsim_pipeline.home import semsim_home

    _say(removing.remove_dataset(semsim_home(), name))


@remove.command("encoder", short_help="An alias that no comparison names.")
@click.argument("alias")
def remove_encoder(alias: str) -> None:
    """Remove an encoder's alias; refused while comparisons name it. Those that are under all encoders lose its pairs.

    \b
    Example: semsim catalog remove encoder clip
    """
    from semsim_pipeline.catalog import remove as removing
    from semsim_pipeline.home import semsim_home

    _say(removing.remove_encoder(semsim_home(), alias))


@remove.command("pair", short_help="Two sides, or a pair's key.")
@click.argument("pair", nargs=-1, required=True, metavar="KEY | REFERENCE CANDIDATE")
@click.option("--comparison", metavar="NAME", help="Only from this one [default: from all that list it].")
def remove_pair(pair: tuple[str, ...], comparison: str | None) -> None:
    """Remove a pair under every encoder of the comparisons that list it; one that is then empty goes too.

    \b
    Example: semsim catalog remove pair real made
             semsim catalog remove pair "real~made@clip-vit-b-32"
    """
    from semsim_pipeline.catalog import remove as removing
    from semsim_pipeline.home import semsim_home

    if len(pair) > 2:
        raise click.UsageError(f"give a pair's key, or its reference and its candidate; found {len(pair)} arguments.")
    _say(removing.remove_pair(semsim_home(), pair, comparison))


@remove.command("comparison", short_help="A comparison with its pairs.")
@click.argument("name")
def remove_comparison(name: str) -> None:
    """Remove a comparison, and the pairs that are in no other.

    \b
    Example: semsim catalog remove comparison by-class
    """
    from semsim_pipeline.catalog import remove as removing
    from semsim_pipeline.home import semsim_home

    _say(removing.remove_comparison(semsim_home(), name))


@catalog.command("list", short_help="What is in it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def list_(as_json: bool) -> None:
    """List datasets, encoders and comparisons, as the catalogue is now.

    \b
    Example: semsim catalog list
             semsim catalog list --json
    """
    from semsim_pipeline.catalog import load_catalog
    from semsim_pipeline.cli.catalog_list import as_json as in_json
    from semsim_pipeline.cli.catalog_list import print_catalog

    found = load_catalog()
    if as_json:
        click.echo(in_json(found))
    else:
        print_catalog(found)


@catalog.command(short_help="Hold it against the disk.")
def check() -> int:
    """Open every dataset, compare its classes with those named, and look for every encoder's weights.

    \b
    Example: semsim catalog check && semsim rescore

    Nothing is read but listings. Each problem is a line; exit code 1 where there is one.
    """
    from semsim_pipeline.catalog import check as problems_of
    from semsim_pipeline.catalog import load_catalog

    found = load_catalog()
    problems = problems_of(found)
    for each in problems:
        click.echo(f"{each.kind} {each.name}: {' '.join(each.message.split())}")
    where = found.path or "The packaged catalogue"
    if not problems:
        click.echo(f"{where}: {len(found.datasets)} datasets, {len(found.encoders)} encoders: no problem.")
    return 1 if problems else 0


def _say(edited: Edited) -> None:
    """What was done and what it means for pairs on stdout; on stderr, that the packaged catalogue counts no longer."""
    if edited.began:
        click.echo(f"{edited.path} is new; the packaged catalogue, in use until now, is not any longer.", err=True)
    for line in edited.said:
        click.echo(f"{line}.")
    counts = {"more": len(edited.added), "gone": len(edited.removed)}
    changes = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    total = len(edited.after.pairs)
    click.echo(f"{edited.path}: {total:,} pair{'' if total == 1 else 's'}{f' ({changes})' if changes else ''}.")
