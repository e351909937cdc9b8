"""The `semsim` command: its group, and how every ending becomes an exit code.

0 success · 1 the work failed · 2 a wrong call · 130 Ctrl-C. A user's mistake is one line on stderr; a traceback is
always a fault of this program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

import click

from semsim_pipeline.cli.catalog import catalog
from semsim_pipeline.cli.compare import compare
from semsim_pipeline.cli.datasets import datasets
from semsim_pipeline.cli.demo import demo
from semsim_pipeline.cli.embed import embed
from semsim_pipeline.cli.encoders import encoders
from semsim_pipeline.cli.gc import gc
from semsim_pipeline.cli.history import history
from semsim_pipeline.cli.listing import list_
from semsim_pipeline.cli.rescore import rescore
from semsim_pipeline.cli.score import score
from semsim_pipeline.cli.status import status
from semsim_pipeline.cli.ui import ui
from semsim_pipeline.cli.verify import verify
from semsim_pipeline.cli.verify_published import verify_published
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.heap import keep_arrow_in_the_heap

FAILED, INTERRUPTED = 1, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="semsim-pipeline", prog_name="semsim")
def semsim() -> None:
    """How semantically similar are two image datasets?

    \b
    Example: semsim compare photos/2023 photos/2024
             semsim compare digits digits-generated
             semsim compare "cifake:cifake.zip[label=REAL]" "cifake:cifake.zip[label=FAKE]"

    A dataset is a folder, a zip or tar, a Parquet file, or a name (`semsim list datasets`), each with an optional
    view in square brackets; put the whole in quotes. Everything is kept under SEMSIM_HOME.
    """


for command in (
    demo, compare, score, embed, catalog, rescore, status, history, ui, list_, datasets, encoders, verify,
    verify_published, gc,
):  # fmt: skip
    semsim.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    keep_arrow_in_the_heap()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A file's name may hold what the terminal's encoding cannot say; an answer is not lost over it.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # What was asked travels along as the context's object, for pages that show how to repeat it.
        result = semsim.main(args=given, prog_name="semsim", standalone_mode=False, obj=given)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        click.echo("semsim: interrupted; what was embedded so far is kept and the next run goes on there.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout went away (`semsim … | head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (click.ClickException, SemsimError, OSError, MemoryError) as error:
        return _failed(error)
    return result if isinstance(result, int) else 0


def _failed(error: click.ClickException | SemsimError | OSError | MemoryError) -> int:
    """Say what went wrong in one line on stderr, whatever the message was made of; returns the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a bare `semsim` shows its help
        error.show()
        return error.exit_code
    code = FAILED
    if isinstance(error, click.ClickException):
        message, code = _refusal(error), error.exit_code
    elif isinstance(error, SemsimError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError):  # what the machine refuses (a full disk, a lost mount) where nobody foresaw it
        where = f": {error.filename}" if error.filename else ""
        message = f"{error.strerror or error}{where}. What was done before is kept."
    else:
        message = "out of memory; what was done before is kept. Compare fewer images (--limit N)."
    click.echo(f"semsim: {' '.join(message.split())}", err=True)
    return code


def _refusal(error: click.ClickException) -> str:
    """What click says of a wrong call, and where to read on."""
    said = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = "" if context is None else f" See `{context.command_path} --help`."
    return f"{said if said.endswith(('.', '?', '!', ')')) else said + '.'}{hint}"
