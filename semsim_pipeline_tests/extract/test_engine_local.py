"""The process pool of this machine, used as people use it: from a script of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import semsim_pipeline as semsim
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view

print("started")
found = embed_view(open_view("digits[limit=60]"), resolve_encoder("classical"),
                   options=ExtractOptions(workers=2, part_rows=20))
print(found.new)
"""


def test_a_script_without_a_main_guard_does_not_run_again_in_each_worker(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "SEMSIM_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert done.stdout.split() == ["started", "60"]
