"""What a figure was measured on, and where it is written."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
CIFAKE = ROOT.parent / "shared" / "data" / "cifake-train.zip"
PACKAGES = (
    "semsim-pipeline", "numpy", "scipy", "scikit-learn", "polars", "pyarrow", "pillow", "torch", "torchvision",
    "open-clip-torch", "prdc", "torch-fidelity", "clean-fid", "torchmetrics", "pot", "vendi-score",
)  # fmt: skip
QUIET_LOAD = 0.5
BLAS_VARIABLES = ("OPENBLAS_", "MKL_", "OMP_")
"""What halves or doubles every matrix product from outside: OPENBLAS_CORETYPE=Haswell does on AVX-512 machines."""


def describe() -> dict[str, Any]:
    """Machine, versions, commit, date and load average, now."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": _blas(),
        "thread_and_blas_environment": {
            name: value for name, value in os.environ.items() if name.startswith(BLAS_VARIABLES)
        },
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _git("rev-parse", "HEAD"),
        "package_changed_since_commit": bool(_git("status", "--porcelain", "--", "semsim_pipeline")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average_at_start": [round(x, 2) for x in os.getloadavg()],
        "quiet_at_start": os.getloadavg()[0] < QUIET_LOAD,
    }


def arguments(doc: str | None) -> argparse.Namespace:
    """`--quick`: small sizes, to see that the script works; its result goes to `results/quick/`, never committed."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes under results/quick/")
    return parser.parse_args()


def save(name: str, machine: dict[str, Any], body: dict[str, Any], *, quick: bool) -> Path:
    """Write results/NAME.json (results/quick/NAME.json for a quick run); called after each step, so a stop keeps it."""
    folder = RESULTS / "quick" if quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    text = json.dumps({"benchmark": name, "quick": quick, "machine": machine, **body}, indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
    return file


def load(name: str, *, quick: bool = False) -> dict[str, Any]:
    """A written result."""
    folder = RESULTS / "quick" if quick else RESULTS
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def cifake() -> Path:
    """CIFAKE's training split; ends the script with one line where it is absent."""
    if not CIFAKE.is_file():
        sys.exit(f"This benchmark reads CIFAKE's training split; put it at {CIFAKE} (zip, train/REAL|FAKE/*.jpg).")
    return CIFAKE


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _blas() -> list[dict[str, Any]]:
    """The matrix libraries that numpy uses here, and the kernels that they chose."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    keys = ("internal_api", "architecture", "version", "num_threads")
    return [{key: found.get(key) for key in keys} for found in threadpool_info() if found["user_api"] == "blas"]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    return subprocess.run([git, "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout.strip()
