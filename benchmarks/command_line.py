"""What a person waits for: `semsim --help` over a bare Python, and a comparison with nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "command_line"
LIMIT, QUICK_LIMIT = 5_000, 200
REPEATS = 9


def starts(repeats: int) -> dict[str, Any]:
    """Seconds to start, interleaved so that both see the same machine: bare Python, --help, a sub-command's help."""
    python = [sys.executable, "-c", "pass"]
    semsim = [str(Path(sys.executable).parent / "semsim")]
    commands = {
        "python -c pass": python,
        "semsim --help": [*semsim, "--help"],
        "semsim compare --help": [*semsim, "compare", "--help"],
        "semsim list encoders": [*semsim, "list", "encoders"],
        "import semsim_pipeline": [sys.executable, "-c", "import semsim_pipeline"],
    }

    def call(command: list[str]) -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    for command in commands.values():
        call(command)
    return {name: measure.median_seconds(lambda command=command: call(command), repeats)
            for name, command in commands.items()}  # fmt: skip


def compare(archive: str, home: str, limit: int, metrics: str | None = None) -> dict[str, Any]:
    """One `semsim compare` process; its JSON's headline."""
    command = [str(Path(sys.executable).parent / "semsim"), "compare"]
    command += [f"cifake:{archive}[label={label}]" for label in ("REAL", "FAKE")]
    command += ["--limit", str(limit), "--json", "-", "--quiet"] + (["--metrics", metrics] if metrics else [])
    done = subprocess.run(command, env={**os.environ, "SEMSIM_HOME": home}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    found = found[0] if isinstance(found, list) else found
    return {"similarity": found["similarity"], "n": [found["reference"]["n"], found["candidate"]["n"]]}


def again(archive: str, home: str, limit: int) -> dict[str, Any]:
    """The extraction of the same views once more, through the API: what it counts as new."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    found = {}
    for label in ("REAL", "FAKE"):
        view = open_view(f"cifake:{archive}[label={label},limit={limit}]")
        done = embed_view(view, resolve_encoder("classical"), Path(home))
        found[label] = {"seen": done.seen, "new": done.new, "read": done.manifest.new, "seconds": done.seconds}
    return found


def main() -> None:
    """Start-up, then the same comparison twice."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    about = machine.describe()
    body: dict[str, Any] = {
        "what": f"start-up, and `semsim compare` of 2 x {QUICK_LIMIT if quick else LIMIT} CIFAKE images (classical)",
        "target": "semsim --help within 0.3 s of `python -c pass`; nothing embedded the second time",
        "start": starts(3 if quick else REPEATS),
    }
    medians = {name: row["median"] for name, row in body["start"].items()}
    body["help_over_python_seconds"] = round(medians["semsim --help"] - medians["python -c pass"], 3)
    with tempfile.TemporaryDirectory(prefix="semsim-cli-") as home:
        common = {"archive": archive, "home": home, "limit": QUICK_LIMIT if quick else LIMIT}
        for name in ("first", "second"):
            body[name] = measure.run("benchmarks.command_line:compare", **common)
            print(f"{name}: {body[name]['seconds']} s, {body[name]['peak_tree_mib']} MiB", flush=True)
            machine.save(NAME, about, body, quick=quick)
        body["second_headline_only"] = measure.run("benchmarks.command_line:compare", **common, metrics="similarity")
        body["extraction_again"] = measure.run("benchmarks.command_line:again", **common)
    body["new_the_second_time"] = sum(row["new"] for row in body["extraction_again"]["result"].values())
    body["same_headline"] = body["first"]["result"] == body["second"]["result"]
    file = machine.save(NAME, about, body, quick=quick)
    print(f"--help {body['help_over_python_seconds']} s over python, new {body['new_the_second_time']}: {file}")


if __name__ == "__main__":
    main()
