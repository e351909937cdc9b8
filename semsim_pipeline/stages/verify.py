"""`semsim verify`: whether everything below a home is whole, and says of itself what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from semsim_pipeline.comparison.score_store import find_result, result_file, score_version
from semsim_pipeline.encoders.background_store import ACTIVE, read_calibration
from semsim_pipeline.errors import StoreError
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.extract.plan import count_embedded
from semsim_pipeline.json_file import read_json
from semsim_pipeline.progress import Progress, Silent
from semsim_pipeline.stages.matrix import TABLE
from semsim_pipeline.stages.picture_store import INDEX, read_pictures
from semsim_pipeline.stages.references import all_manifests
from semsim_pipeline.stages.score_store import DAMAGED, events_of, named_version, pair_file, pairs_lock
from semsim_pipeline.stages.state import dataset_file, embedding_file, read_dataset, read_embedding
from semsim_pipeline.stages.verify_sets import Fault, faults_of_set
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.locks import held, locked
from semsim_pipeline.store.manifest import INDEX_NAME, read_again, read_batches
from semsim_pipeline.store.reader import digests

RESCORE = "run `semsim rescore`"
NEXT_SCAN = "remove it; the next run writes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. what: with the file. remedy: what to do. repaired: it was removed or put aside, so that
    the next run makes it again."""

    what: str
    remedy: str
    repaired: bool = False

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.what.rstrip('.')}: {'removed; the next run makes it again' if self.repaired else self.remedy}."


@dataclass(slots=True)
class _Looking:
    """How a look goes on. counted: what manifests hold, by path: pointers are compared with it."""

    home: Path
    repair: bool
    progress: Progress
    done: int = 0
    found: int = 0
    counted: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def look(self) -> None:
        self.done += 1
        self.progress.update(done=self.done, failed=self.found)

    def problem(self, what: str, remedy: str, mend: Callable[[], None] | None = None) -> Problem:
        """mend: removes what is damaged; called where repair was asked for."""
        self.found += 1
        if mend is not None and self.repair:
            mend()
            return Problem(what=what, remedy=remedy, repaired=True)
        return Problem(what=what, remedy=remedy)


def verify_home(home: Path, progress: Progress | None = None, *, repair: bool = False) -> Iterator[Problem]:
    """Everything that is wrong, as it is found: every byte of every part is read, every version counted anew.

    repair: remove what is damaged, so that the next run makes it again; a set in use is left as it is.
    Memory: one row group; 8 bytes an image of a set; what `count_embedded` takes for a dataset.
    """
    looking = _Looking(home=home, repair=repair, progress=progress or Silent())
    looking.progress.start("verify", None)
    for check in (
        _sets,
        _hashes,
        _manifests,
        _datasets,
        _embeddings,
        _results,
        _pairs,
        _pictures,
        _matrices,
        _backgrounds,
    ):
        yield from check(looking)


def _sets(looking: _Looking) -> Iterator[Problem]:
    for folder in sorted((looking.home / "embeddings").glob("*/")):
        with held(folder / ".run.lock") as mine:
            if looking.repair and not mine:
                looking.progress.say(f"{folder} is in use by another process; it is looked at, and not repaired.")
            for fault in faults_of_set(folder, looking.look):
                yield _of_set(looking, fault, may_mend=mine)


def _of_set(looking: _Looking, fault: Fault, *, may_mend: bool) -> Problem:
    return looking.problem(fault.what, fault.remedy, fault.mend if may_mend else None)


def _hashes(looking: _Looking) -> Iterator[Problem]:
    import polars as pl

    store = image_hashes(looking.home)
    for path in store.files():
        looking.look()
        mend = partial(path.unlink, missing_ok=True)
        try:
            found = pl.read_parquet(path)
            whole = found.columns == ["image_id", *store.columns] and len(digests(found["image_id"])) > 0
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            yield looking.problem(f"{path} cannot be read ({_first(error)})", RESCORE, mend)
            continue
        if not whole:
            yield looking.problem(f"{path} does not hold hashes of images", RESCORE, mend)


def _manifests(looking: _Looking) -> Iterator[Problem]:
    for path in all_manifests(looking.home):
        looking.look()
        mend = partial(path.unlink, missing_ok=True)
        try:
            found = read_again(path)
        except StoreError as error:
            yield looking.problem(_first(error), f"{path.name}: {NEXT_SCAN}", mend)
            continue
        if found.version != path.stem:
            yield looking.problem(f"{path} holds other rows than its name says ({found.version})", NEXT_SCAN, mend)
            continue
        looking.counted[path.resolve()] = (found.rows, found.failed)
    for path in sorted((looking.home / "manifests").glob(f"*/{INDEX_NAME}")):
        looking.look()
        try:
            for _batch in read_batches(path):
                pass
        except StoreError as error:
            yield looking.problem(_first(error), NEXT_SCAN, partial(path.unlink, missing_ok=True))


def _datasets(looking: _Looking) -> Iterator[Problem]:
    for path in sorted(dataset_file(looking.home, "x").parent.glob("*.json")):
        looking.look()
        mend = partial(path.unlink, missing_ok=True)
        try:
            state = read_dataset(looking.home, path.stem)
        except StoreError as error:
            yield looking.problem(_first(error), NEXT_SCAN, mend)
            continue
        counted = None if state is None else looking.counted.get(Path(state.path).resolve())
        if state is None or counted is None:
            yield looking.problem(f"{path} points to a manifest that is not there, or damaged", RESCORE, mend)
        elif counted != (state.rows, state.failed):
            yield looking.problem(f"{path} counts other rows than its manifest", RESCORE, mend)


def _embeddings(looking: _Looking) -> Iterator[Problem]:
    for path in sorted(embedding_file(looking.home, "x").parent.glob("*.json")):
        looking.look()
        mend = partial(path.unlink, missing_ok=True)
        try:
            state = read_embedding(looking.home, path.stem)
            known = state is not None and Path(state.dataset.path).resolve() in looking.counted
            if state is None or not known:
                yield looking.problem(f"{path} points to a manifest that is not there, or damaged", RESCORE, mend)
                continue
            embedded = count_embedded(state.dataset.manifest, EmbeddingSet.at(looking.home, state.key))
        except StoreError as error:
            yield looking.problem(_first(error), RESCORE)
            continue
        if embedded < state.embedded:
            lost = state.embedded - embedded
            yield looking.problem(f"{lost:,} images of {path.stem} have lost their embeddings", RESCORE)


def _results(looking: _Looking) -> Iterator[Problem]:
    for path in sorted((looking.home / "scores" / "results").glob("*/*.json")):
        looking.look()
        mend = partial(path.unlink, missing_ok=True)
        try:
            said = read_json(path) or {}
        except StoreError as error:
            yield looking.problem(_first(error), RESCORE, mend)
            continue
        version, inputs = str(said.get("version")), said.get("inputs")
        if result_file(looking.home, version) != path:
            yield looking.problem(f"{path} says that it is another score", RESCORE, mend)
        elif not isinstance(inputs, dict) or score_version(inputs) != version:
            yield looking.problem(f"{path} has other inputs than its name says", RESCORE, mend)
        elif find_result(looking.home, version) is None:
            yield looking.problem(f"{path} does not hold a whole score", RESCORE, mend)


def _pairs(looking: _Looking) -> Iterator[Problem]:
    for path in sorted(pair_file(looking.home, "x").parent.glob("*.json")):
        looking.look()
        key = path.stem
        try:
            current, events = named_version(looking.home, key), events_of(looking.home, key)
        except StoreError as error:
            yield looking.problem(_first(error), "the next score begins a new history", partial(_aside, looking, path))
            continue
        if not events or events[-1].version != current:
            yield looking.problem(f"{path} names a score that is not the last of its history", RESCORE)
        for event in events:
            if not result_file(looking.home, event.version).is_file():
                where = "its current score" if event.version == current else f"score {event.order} of its history"
                what = f"{key}: {where} ({event.version[:12]}) has gone"
                yield looking.problem(what, RESCORE if event.version == current else "its value is lost")


def _aside(looking: _Looking, path: Path) -> None:
    with locked(pairs_lock(looking.home)):
        path.replace(path.with_name(path.name + DAMAGED))


def _pictures(looking: _Looking) -> Iterator[Problem]:
    for path in sorted((looking.home / "pictures").glob(f"*/*/{INDEX}")):
        yield from _drawn(looking, path.parent)


def _matrices(looking: _Looking) -> Iterator[Problem]:
    import polars as pl

    for path in sorted((looking.home / "matrices").glob(f"*/*/{TABLE}")):
        try:
            pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            mend = partial(shutil.rmtree, path.parent)
            yield looking.problem(f"{path} cannot be read ({_first(error)})", RESCORE, mend)
            continue
        yield from _drawn(looking, path.parent)


def _drawn(looking: _Looking, folder: Path) -> Iterator[Problem]:
    from PIL import Image

    looking.look()
    mend = partial(shutil.rmtree, folder)
    try:
        pictures = read_pictures(folder)
        for path in sorted(folder.glob("*.png")):
            with Image.open(path) as image:
                image.verify()
    except (StoreError, OSError, SyntaxError) as error:  # what Pillow raises for a broken PNG
        yield looking.problem(f"A picture in {folder} cannot be read ({_first(error)})", RESCORE, mend)
        return
    if pictures is None:
        yield looking.problem(f"A picture of {folder} has gone", RESCORE, mend)


def _backgrounds(looking: _Looking) -> Iterator[Problem]:
    for path in sorted((looking.home / "backgrounds").glob("*/*.json")):
        looking.look()
        with suppress(StoreError):
            if path.name == ACTIVE:
                read_json(path)
            else:
                read_calibration(path)
            continue
        yield looking.problem(f"{path} cannot be used", "remove it and run `semsim encoders calibrate` again")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
