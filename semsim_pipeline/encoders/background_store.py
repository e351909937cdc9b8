"""Backgrounds on disk: those that ship with the package, and those that were calibrated on this machine.

A background belongs to one encoder fingerprint: measured with other weights or another resize it would put a wrong
scale under every score, so a file whose fingerprint differs is not found. Which one is used: the panel calibrated
last on this machine, else the packaged one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.json_file import write_json
from semsim_pipeline.records import Background

ID_LENGTH = 12
FOLDER_LENGTH = 16
ACTIVE = "active.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured on a panel, and what identifies the measurement.

    panel: its name (`panel-1`, a view). panel_digest: of its images. n: images in it. bandwidth: s². kappa: in 0..1.
    mean: float64 [d], the mean unit row.
    """

    encoder_fingerprint: str
    panel: str
    panel_digest: str
    n: int
    bandwidth: float
    kappa: float
    mean: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.n < 2 or self.mean.ndim != 1 or not np.isfinite(self.mean).all():
            raise ValueError(f"a calibration has two images or more and a finite mean [d]; found n = {self.n}")
        if not 0.0 <= self.kappa <= 1.0:
            raise ValueError(f"kappa is a mean of exp(-distance), in 0..1; found {self.kappa}")

    def background(self) -> Background:
        """The record that scores use; its id changes with everything here."""
        return Background(
            id=digest_of(
                {
                    "bandwidth": self.bandwidth,
                    "kappa": self.kappa,
                    "mean": [float(value) for value in self.mean],
                    "panel": self.panel,
                    "panel_digest": self.panel_digest,
                    "encoder_fingerprint": self.encoder_fingerprint,
                    "n": self.n,
                }
            )[:ID_LENGTH],
            bandwidth=self.bandwidth,
            source=self.panel,
            kappa=self.kappa,
            mean=self.mean,
        )


def packaged_background(encoder_fingerprint: str) -> Background | None:
    """The background that ships for exactly this encoder, or None (another library version, other weights)."""
    folder = files("semsim_pipeline.encoders").joinpath("backgrounds")
    if not folder.is_dir():
        return None
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".json"):
            calibration = _parse(entry.read_text(encoding="utf-8"), entry.name)
            if calibration.encoder_fingerprint == encoder_fingerprint:
                return calibration.background()
    return None


def cached_background(home: Path, encoder_fingerprint: str, panel: str | None = None) -> Background | None:
    """The background calibrated under `home` on `panel`, or on the panel calibrated last; None where there is none.

    Raises StoreError where the file is damaged.
    """
    folder = _folder(home, encoder_fingerprint)
    slug = _slug(panel) if panel is not None else _active_slug(folder)
    path = folder / f"{slug}.json"
    if slug is None or not path.is_file():
        return None
    calibration = read_calibration(path)
    # The folder holds 16 digits of the fingerprint; the file holds all of it.
    return calibration.background() if calibration.encoder_fingerprint == encoder_fingerprint else None


def active_background(home: Path, encoder_fingerprint: str) -> Background | None:
    """The background that scores use: the last calibrated here, else the packaged one, else None (measure one)."""
    cached = cached_background(home, encoder_fingerprint)
    return cached if cached is not None else packaged_background(encoder_fingerprint)


def save_background(home: Path, calibration: Calibration) -> Background:
    """Keep a calibration under `home` and make it the active one. Raises StoreError."""
    folder = _folder(home, calibration.encoder_fingerprint)
    slug = _slug(calibration.panel)
    write_calibration(folder / f"{slug}.json", calibration)
    # Last: a reader never sees an active panel whose file is not there yet.
    write_json(folder / ACTIVE, {"panel": slug}, sort_keys=True)
    return calibration.background()


def write_calibration(path: Path, calibration: Calibration) -> None:
    """One calibration as JSON, all digits kept; also how the packaged files are made. Raises StoreError."""
    write_json(
        path,
        {
            "schema": 1,
            "id": calibration.background().id,
            "encoder_fingerprint": calibration.encoder_fingerprint,
            "panel": calibration.panel,
            "panel_digest": calibration.panel_digest,
            "n": calibration.n,
            "bandwidth": calibration.bandwidth,
            "kappa": calibration.kappa,
            "mean": [float(value) for value in calibration.mean],
        },
        sort_keys=True,
    )


def read_calibration(path: Path) -> Calibration:
    """Raises StoreError: unreadable, cut short, or changed by hand (the id no longer follows from the numbers)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(_damaged(str(path), str(error))) from error
    return _parse(text, str(path))


def _parse(text: str, where: str) -> Calibration:
    try:
        content: Mapping[str, object] = json.loads(text)
        calibration = Calibration(
            encoder_fingerprint=str(content["encoder_fingerprint"]),
            panel=str(content["panel"]),
            panel_digest=str(content["panel_digest"]),
            n=int(str(content["n"])),
            bandwidth=float(str(content["bandwidth"])),
            kappa=float(str(content["kappa"])),
            mean=np.asarray(content["mean"], dtype=np.float64),
        )
        expected = calibration.background().id
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_damaged(where, repr(error))) from error
    if content.get("id") != expected:
        raise StoreError(_damaged(where, f"its id is {content.get('id')!r}, its numbers give {expected!r}"))
    return calibration


def _damaged(where: str, reason: str) -> str:
    return f"The background {where} cannot be used: {reason}. Delete it and run `semsim encoders calibrate` again."


def _folder(home: Path, encoder_fingerprint: str) -> Path:
    return home / "backgrounds" / encoder_fingerprint[:FOLDER_LENGTH]


def _active_slug(folder: Path) -> str | None:
    path = folder / ACTIVE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["panel"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(_damaged(str(path), repr(error))) from error


def _slug(panel: str) -> str:
    """A file name for a panel's name; 8 digits of a hash where the spelling loses something (also for `active`)."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", panel).strip("-.")
    if plain == panel and plain.lower() == plain and f"{plain}.json" != ACTIVE:
        return plain
    return f"{plain[:60] or 'panel'}-{digest_of(panel)[:8]}"
