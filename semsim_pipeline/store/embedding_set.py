"""One embedding set: a folder of parts, and the manifest that names them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.parts import MANIFEST, Part, inspect_part, named_parts
from semsim_pipeline.store.schema import SetKey
from semsim_pipeline.store.writer import remove_leftovers, write_text

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

EMBED_AGAIN = "Embed the dataset again: `semsim rescore`, or `embeddings` in the UI; only what is lost is embedded."
DAMAGED = "damaged-"
"""What the name of a part begins with that was put aside because it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSet:
    """The embeddings of one encoder, whatever dataset their images came from; each image once.

    A value: it holds no open file and no rows, every call reads the folder's manifest (`parts.json`) anew.

    Two rules meet here. A part's presence is the commit, so a part that was renamed into place by a process that was
    killed before it could name it is *adopted* by `recover` once it was checked. And a part which the manifest does
    not name does not exist: readers look at the manifest alone.
    """

    folder: Path
    key: SetKey

    @classmethod
    def at(cls, home: Path, key: SetKey) -> EmbeddingSet:
        """The set of this key under a home; nothing is read or written."""
        return cls(folder=home / "embeddings" / key.folder_name, key=key)

    @property
    def home(self) -> Path:
        """The home that the set is under."""
        return self.folder.parents[1]

    def create(self) -> None:
        """Make the folder and say in `set.json` what it holds. Raises StoreError: unwritable, or another set's."""
        said = self.folder / "set.json"
        facts = asdict(self.key) | {"key": self.key.digest}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json.loads(said.read_text()) if said.exists() else None
        except OSError as error:
            raise StoreError(cannot_write(self.folder, error)) from error
        except ValueError:
            found = None  # a damaged description is written again; each part says for itself what it is
        if found is None:
            write_text(said, json.dumps(facts, indent=1, sort_keys=True) + "\n")
        elif found.get("key") != self.key.digest:
            raise StoreError(f"{said} describes another encoder than {self.key.encoder!r}: move that folder away.")

    def parts(self) -> list[Part]:
        """What the manifest names, in the order of naming; empty where there is no set yet."""
        try:
            return named_parts(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"Cannot read {self.folder / MANIFEST}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError):
            # Only a damaged disk gets here (the file is replaced as a whole); `recover` rebuilds it from the parts.
            log.warning("%s cannot be read; its parts will be looked at again.", self.folder / MANIFEST)
            return []

    @property
    def dim(self) -> int | None:
        """d, or None while there is no part."""
        return next((part.dim for part in self.parts() if part.dim), None)

    def counts(self) -> tuple[int, int]:
        """(embedded images, failed images)."""
        parts = self.parts()
        return sum(p.rows for p in parts if p.dim), sum(p.rows for p in parts if not p.dim)

    def failed(self) -> pl.LazyFrame:
        """`image_id` and `error` of every image that could not be decoded."""
        import polars as pl

        files = [self.folder / part.name for part in self.parts() if not part.dim]
        if not files:
            return pl.LazyFrame(schema=dict.fromkeys(("image_id", "error"), pl.String))
        return pl.scan_parquet(files).select("image_id", "error")

    def id_batches(self, *, failed: bool) -> Iterator[pl.DataFrame]:
        """`image_id` of the embedded (or failed) images, a part at a time; twice where its part is replaced meanwhile.

        Raises StoreError. Memory: one part's ids.
        """
        import polars as pl

        for part in self.visited(failed=failed):
            try:
                batch = pl.read_parquet(self.folder / part.name, columns=["image_id"])
            except (OSError, pl.exceptions.PolarsError) as error:
                if self.names(part):
                    raise StoreError(f"{self.folder / part.name} cannot be read. {EMBED_AGAIN}") from error
                continue
            yield batch

    def visited(self, *, failed: bool) -> Iterator[Part]:
        """The parts with embeddings (or failures), and then those that came in the place of some during the visit."""
        seen: set[str] = set()
        while fresh := [part for part in self.parts() if bool(part.dim) != failed and part.name not in seen]:
            for part in fresh:
                seen.add(part.name)
                yield part

    def names(self, part: Part) -> bool:
        """Whether the manifest names this part now."""
        return part.name in {each.name for each in self.parts()}

    def replace_parts(self, gone: Sequence[str], fresh: Sequence[str] = ()) -> None:
        """Name finished files in the place of others and remove these; call it while `working`.

        A kill in between leaves files that the manifest does not name; `recover` removes those whose images are in
        another part. Raises StoreError where a fresh one is not whole; then nothing is removed.
        """
        with self._locked():
            kept = [part for part in self.parts() if part.name not in gone and part.name not in fresh]
            self._save([*kept, *(inspect_part(self.folder / name, self.key) for name in fresh)])
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)

    def name_parts(self, *names: str) -> None:
        """Add finished files to the manifest, replacing it as a whole. Raises StoreError where one is not whole."""
        if not names:
            return
        with self._locked():
            named = {part.name: part for part in self.parts()}
            fresh = [inspect_part(self.folder / name, self.key) for name in names if name not in named]
            self._save([*named.values(), *fresh])

    def recover(self) -> list[str]:
        """Make manifest and folder agree again after whatever happened; call it while `working`.

        Leftovers of killed writers go. A named part that is missing or has another size than when it was named is
        forgotten, with a warning, and its images count as not embedded; so is one that cannot be read any more, which
        is put aside as `damaged-<name>`. An unnamed part is adopted if it is whole, and removed if it is not or if
        its images are in another part already. Returns a line for each part that was lost.
        Memory: one part's ids, and about 200 bytes for every image of an unnamed part.
        """
        from semsim_pipeline.store.audit import audit

        remove_leftovers(self.folder)
        with self._locked():
            before = self.parts()
            broken = {each.name: each.problem for each in audit(self) if each.problem is not None}
            kept = [part for part in before if self._present(part) and not self._put_aside(part, broken)]
            names = {part.name for part in kept}
            strays = [path for path in self._files() if path.name not in names]
            self._adopt(strays, kept)
            if kept != before:
                self._save(kept)
            names = {part.name for part in kept}
            return [
                broken.get(part.name, f"{self.folder / part.name} is damaged.")
                for part in before
                if part.name not in names
            ]

    def working(self, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Hold the set for one run: whoever comes second waits (`waiting` is called once), then finds the work done."""
        return locked(self.folder / ".run.lock", waiting=waiting)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder / ".parts.lock")

    def _save(self, parts: list[Part]) -> None:
        dims = {part.dim for part in parts if part.dim}
        if len(dims) > 1:
            raise StoreError(f"{self.folder} holds embeddings of different widths {sorted(dims)}: move it away.")
        lines = ",\n".join(json.dumps(asdict(part)) for part in parts)
        write_text(self.folder / MANIFEST, f'{{"schema": {self.key.schema_version}, "parts": [\n{lines}\n]}}\n')

    def _files(self) -> list[Path]:
        return sorted([*self.folder.glob("part-*.parquet"), *self.folder.glob("failed-*.parquet")])

    def _present(self, part: Part) -> bool:
        path = self.folder / part.name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            log.warning("%s is gone; its %d images count as not embedded.", path, part.rows)
            return False
        if size != part.bytes:
            log.warning("%s has %d bytes, not %d; looking at it again.", path, size, part.bytes)
            return False
        return True

    def _put_aside(self, part: Part, broken: Mapping[str, str]) -> bool:
        """Whether a named part cannot be read; then it is no part any more, and nothing of it is lost for good."""
        if part.name not in broken:
            return False
        log.warning("%s Put aside; its %d images will be embedded again.", broken[part.name], part.rows)
        (self.folder / part.name).replace(self.folder / f"{DAMAGED}{part.name}")
        return True

    def _adopt(self, strays: list[Path], kept: list[Part]) -> None:
        """Add the whole ones of the unnamed files to `kept`, in order; remove the others."""
        whole: list[tuple[Part, set[str]]] = []
        for path in strays:
            try:
                part = inspect_part(path, self.key)
                whole.append((part, self._part_ids(part) if part.dim else set()))
            except StoreError as error:
                log.warning("%s Removed; its images will be embedded again.", error)
                path.unlink(missing_ok=True)
        asked = set[str]().union(*(ids for _, ids in whole))
        taken: set[str] = set()
        if asked:  # every named part is read once, however many files are to be judged
            for named in [part for part in kept if part.dim]:
                taken |= asked & self._part_ids(named)
        for part, ids in whole:
            if ids.isdisjoint(taken):
                taken |= ids
                kept.append(part)
            else:
                log.warning("%s holds images of another part; removed.", self.folder / part.name)
                (self.folder / part.name).unlink(missing_ok=True)

    def _part_ids(self, part: Part) -> set[str]:
        import polars as pl

        return set(pl.read_parquet(self.folder / part.name, columns=["image_id"])["image_id"])
