"""Pictures on disk: a folder a version, PNGs and `pictures.json` with their words, which is written last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.store.json_file import read_json, write_json
from semsim_pipeline.store.writer import atomic_file

INDEX = "pictures.json"


def keep_pictures(folder: Path, version: str, pictures: Sequence[Picture]) -> None:
    """Write them all, then the index that makes them count. Raises StoreError."""
    for picture in pictures:
        with atomic_file(folder / f"{picture.name}.png") as file:
            file.write(picture.png)
    facts = [{name: value for name, value in asdict(each).items() if name != "png"} for each in pictures]
    write_json(folder / INDEX, {"version": version, "pictures": facts})


def has_pictures(folder: Path) -> bool:
    """Whether a folder was finished; cheaper than reading it."""
    return (folder / INDEX).is_file()


def read_pictures(folder: Path) -> tuple[Picture, ...] | None:
    """What was kept, in order; None where it is not all there. Raises StoreError where the index is damaged."""
    found = read_json(folder / INDEX)
    if found is None:
        return None
    facts = found.get("pictures")
    try:
        return tuple(
            Picture(**each, png=(folder / f"{each['name']}.png").read_bytes())
            for each in (facts if isinstance(facts, list) else [])
        )
    except FileNotFoundError:
        return None
    except (TypeError, KeyError) as error:
        raise StoreError(f"{folder / INDEX} cannot be read. Remove the folder and draw again.") from error
