"""What only a process of its own shows: signals, pipes, full disks, and what is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from semsim_pipeline_tests.cli.conftest import process
from semsim_pipeline_tests.pictures import write_pictures

HEAVY = ("torch", "dagster", "matplotlib", "polars", "pyarrow", "sklearn", "scipy", "PIL", "skimage", "timm", "pandas")

DIGITS = ("digits[limit=22]", "digits[limit=22,seed=1]", "--encoder", "classical")
"""A small question whose encoder needs no torch, which is dear to start."""
PRELUDE = "import sys; from semsim_pipeline.cli import main; "
SLOW_ENCODER = """
import sys, time
from semsim_pipeline.encoders.classical import ClassicalEncoder
from semsim_pipeline.extract import records, run
from semsim_pipeline.encoders import classical

real = records.ExtractOptions.__init__
def small_parts(self, **options):
    real(self, **{**options, "part_rows": 8})
records.ExtractOptions.__init__ = small_parts

loaded = type(ClassicalEncoder().load())
encode = loaded.encode
def slow(self, batch):
    time.sleep(0.4)
    return encode(self, batch)
loaded.encode = slow
from semsim_pipeline.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "code", ["import semsim_pipeline", PRELUDE + "main(['--help'])", PRELUDE + "main(['compare', '-h'])"]
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    tail = f"\nfinally:\n print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\ntry:\n {code}{tail}"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert ran.stderr.strip() == "[]"


def test_interrupted_work_is_kept_and_goes_on(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 40, seed=60)
    home = tmp_path / "home"
    environment = {**os.environ, "SEMSIM_HOME": str(home)}
    command = [
        sys.executable,
        "-c",
        SLOW_ENCODER,
        "embed",
        str(folder),
        "--encoder",
        "classical",
        "--workers",
        "1",
        "--quiet",
    ]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as running:
        deadline = time.monotonic() + 60
        while len(list(home.glob("embeddings/*/part-*.parquet"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert err.strip() == "semsim: interrupted; what was embedded so far is kept and the next run goes on there."
    kept = 8 * len(list(home.glob("embeddings/*/part-*.parquet")))
    assert 16 <= kept < 40
    again = process("embed", folder, "--encoder", "classical", env=environment)
    assert again.returncode == 0
    assert f"{40 - kept} embedded now" in again.stdout
    assert not list(home.glob("embeddings/*/.tmp-*"))


@pytest.mark.parametrize("command", [["list", "metrics"], ["compare", *DIGITS, "-q", "--metrics=kid"]])
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path, command: list[str]) -> None:
    environment = {**os.environ, "SEMSIM_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "semsim_pipeline", *command], env=environment, stdout=-1, stderr=-1, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        err = running.stderr.read()
    assert "Traceback" not in err
    assert "Exception" not in err
    assert running.returncode in {0, 1}


def _mount(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", ["8k", "24k", "64k"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path, size: str) -> None:
    pictures = write_pictures(tmp_path / "pictures", 60, seed=61)
    disk = tmp_path / "disk"
    _mount(disk, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    try:
        environment = {**os.environ, "SEMSIM_HOME": str(disk / "home")}
        ran = process("embed", pictures, "--encoder", "classical", "--quiet", env=environment)
        left = list(disk.rglob(".tmp-*"))
    finally:
        _unmount(disk)
    assert ran.returncode == 1
    assert ran.stderr.startswith("semsim: ")
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert "No space left on device" in ran.stderr
    assert left == []


def test_a_full_disk_keeps_the_old_result(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    _mount(disk, "-t", "tmpfs", "-o", "size=4k", "tmpfs")  # one page, and the old result has it
    environment = {**os.environ, "SEMSIM_HOME": str(tmp_path / "home")}
    try:
        (disk / "result.json").write_text("old")
        ran = process(
            "compare",
            *DIGITS,
            "--metrics",
            "kid",
            "--json",
            disk / "result.json",
            "-q",
            env=environment,
        )
        left = {path.name: path.read_text() for path in disk.iterdir()}
    finally:
        _unmount(disk)
    assert ran.returncode == 1
    assert "Similarity" in ran.stdout  # the answer is not lost
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "No space left on device" in ran.stderr
    assert left == {"result.json": "old"}


def test_a_read_only_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    _mount(disk, "-t", "tmpfs", "-o", "ro", "tmpfs")
    try:
        environment = {**os.environ, "SEMSIM_HOME": str(disk / "home")}
        embedded = process("embed", "digits[limit=3]", "--encoder", "classical", "-q", env=environment)
        environment["SEMSIM_HOME"] = str(disk)
        at_root = process("embed", "digits[limit=3]", "--encoder", "classical", "-q", env=environment)
        report = process("compare", "digits", "digits", "--json", disk / "x.json", "-q", env=environment)
    finally:
        _unmount(disk)
    for ran in (embedded, at_root, report):
        assert ran.returncode == 1
        assert ran.stderr.startswith("semsim: ")
        assert len(ran.stderr.strip().splitlines()) == 1
        assert str(disk) in ran.stderr


def test_json_may_go_to_a_pipe_or_a_device(tmp_path: Path) -> None:
    environment = {**os.environ, "SEMSIM_HOME": str(tmp_path / "home")}
    ran = process(
        "compare",
        *DIGITS,
        "--json",
        "/dev/null",
        "-q",
        "--metrics",
        "kid",
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path("/dev/null").is_char_device()
    # A terminal that knows ASCII only still gets an answer.
    ran = process(
        "compare",
        *DIGITS,
        "-q",
        "--metrics",
        "kid",
        env={**environment, "PYTHONIOENCODING": "ascii"},
    )
    assert ran.returncode == 0, ran.stderr
    ran = process("compare", *DIGITS, "--json", "-", "-q", "--metrics", "kid", env=environment)
    assert json.loads(ran.stdout)["schema"] == 1
