"""Pictures on disk: a folder a version, PNGs and `pictures.json` with their words, which is written last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import overload

from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.store.writer import atomic_file

INDEX = "pictures.json"


class KeptPictures(Sequence[Picture]):
    """The pictures of a folder, each read when it is asked for: most of those that are there are never shown.

    bytes: of all the PNGs. Raises OSError at the picture whose file has gone meanwhile.
    """

    def __init__(self, folder: Path, facts: Sequence[Mapping[str, object]]) -> None:
        """facts: of each picture all but its PNG. Raises FileNotFoundError, KeyError, TypeError (damaged)."""
        self._folder = folder
        self._facts = [dict(each) for each in facts]
        self.bytes = sum(self._file(each).stat().st_size for each in self._facts)
        for each in self._facts:
            Picture(**each, png=b"")  # type: ignore[arg-type]  # what it must hold, or a TypeError

    @property
    def caption(self) -> str:
        """Title and caption of each, as Markdown."""
        return "\n\n".join(f"**{each['title']}** {each['caption']}" for each in self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    @overload
    def __getitem__(self, place: int) -> Picture: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...

    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(place, slice):
            return [self._read(each) for each in self._facts[place]]
        return self._read(self._facts[place])

    def _read(self, facts: Mapping[str, object]) -> Picture:
        return Picture(**facts, png=self._file(facts).read_bytes())  # type: ignore[arg-type]  # checked at the start

    def _file(self, facts: Mapping[str, object]) -> Path:
        return self._folder / f"{facts['name']}.png"


def keep_pictures(folder: Path, version: str, pictures: Sequence[Picture]) -> KeptPictures:
    """Write them all, then the index that makes them count. Raises StoreError."""
    for picture in pictures:
        with atomic_file(folder / f"{picture.name}.png") as file:
            file.write(picture.png)
    facts = [{name: value for name, value in asdict(each).items() if name != "png"} for each in pictures]
    write_json(folder / INDEX, {"version": version, "pictures": facts})
    return KeptPictures(folder, facts)


def has_pictures(folder: Path) -> bool:
    """Whether a folder was finished; cheaper than reading it."""
    return (folder / INDEX).is_file()


def read_pictures(folder: Path) -> KeptPictures | None:
    """What was kept, in order; None where it is not all there. Raises StoreError where the index is damaged."""
    found = read_json(folder / INDEX)
    if found is None:
        return None
    facts = found.get("pictures")
    try:
        return KeptPictures(folder, facts if isinstance(facts, list) else [])
    except FileNotFoundError:
        return None
    except (TypeError, KeyError, ValueError) as error:
        raise StoreError(f"{folder / INDEX} cannot be read. Remove the folder and draw again.") from error
