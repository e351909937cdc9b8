"""Images prepared by processes beside an encoder on a device: the same rows, reasons and hashes as by threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.cores import cores
from semsim_pipeline.encoders.base import LoadedEncoder, OnDevice
from semsim_pipeline.errors import WorkError
from semsim_pipeline.extract import prepare as prepare_module
from semsim_pipeline.extract.batches import Batches
from semsim_pipeline.extract.plan import embedding_key
from semsim_pipeline.extract.prepare import CHANGED, LEAST_CORES, LEAST_IMAGES, helpers, helpers_here
from semsim_pipeline.extract.records import ShardSpec
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView

N = 40


def brightened(image: NDArray[np.uint8], *, by: int, log: str | None = None, die: bool = False) -> NDArray[np.uint8]:
    if log is not None:
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if die:
        os._exit(9)
    return image + np.uint8(by)


@dataclass(frozen=True, kw_only=True)
class Device(FakeEncoder):
    """A `Parallel` encoder as one on a device: what prepares images can be pickled, and notes where it runs."""

    concurrency: str = "threads"  # type: ignore[assignment]
    log_preparation: str | None = None
    on_device: bool = True
    least_side: int = 16
    die: bool = False

    def lanes(self) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: None)

    @property
    def preparation(self) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
        return partial(brightened, by=1, log=self.log_preparation, die=self.die) if self.on_device else None

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return brightened(image, by=1, log=self.log_preparation)


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "cores", lambda: LEAST_CORES)


def order(source: FakeSource, folder: Path) -> ShardSpec:
    items = tuple(source.items())
    encoder = FakeEncoder(batch_size=7)
    ids = [image_id_of(source.read(item)) for item in items]
    ids[3] = "0" * len(ids[3])
    return ShardSpec(
        source=source, items=items, image_ids=tuple(ids), encoder=encoder, key=embedding_key(encoder), folder=folder,
        batch_size=7, threads=3,
    )  # fmt: skip


def embedded(spec: ShardSpec, encoder: LoadedEncoder) -> list[object]:
    with Batches(spec, encoder, hashed=True) as batches:
        found = [begun.result() for begun in [batches.begin(number) for number in range(len(batches))]]
    return [
        np.concatenate([batch.rows for batch in found]).tolist(),
        [batch.good.tolist() for batch in found],
        [batch.hashes.tolist() for batch in found],
        [(sorted(batch.failed.items()), sorted(batch.skipped.items())) for batch in found],
    ]


@pytest.mark.usefixtures("many_cores")
def test_processes_give_what_threads_give(tmp_path: Path) -> None:
    log = tmp_path / "log"
    device = Device(log_preparation=str(log))
    assert isinstance(device, OnDevice)
    spec = order(FakeSource(n=N, bad=frozenset({5, 20})), tmp_path)
    by_threads = embedded(spec, device)
    assert {int(line) for line in log.read_text().split()} == {os.getpid()}
    log.unlink()
    with helpers(LEAST_IMAGES):
        by_processes = embedded(spec, device)
    theirs = {int(line) for line in log.read_text().split()}
    assert theirs
    assert os.getpid() not in theirs
    assert by_processes == by_threads
    first, second = by_threads[3][:2]  # type: ignore[index]
    assert [place for place, _ in first[0]] == [5]
    assert first[1] == [(3, CHANGED)]
    assert second == ([], [])


@pytest.mark.usefixtures("many_cores")
def test_an_encoder_that_wants_the_cores_keeps_its_threads(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with helpers(LEAST_IMAGES):
        embedded(order(FakeSource(n=N), tmp_path), Device(log_preparation=str(log), on_device=False))
    assert {int(line) for line in log.read_text().split()} == {os.getpid()}


@pytest.mark.usefixtures("many_cores")
def test_a_dead_process_is_one_line(tmp_path: Path) -> None:
    spec = order(FakeSource(n=N), tmp_path)
    with helpers(LEAST_IMAGES), pytest.raises(WorkError, match=r"died.*kept"):
        embedded(spec, Device(die=True))
    with helpers(LEAST_IMAGES):  # and the next one starts anew
        assert embedded(spec, Device())[0]


def test_few_images_and_few_cores_need_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, images, some in (
        (LEAST_CORES, LEAST_IMAGES, True),
        (LEAST_CORES, LEAST_IMAGES - 1, False),
        (LEAST_CORES - 1, LEAST_IMAGES, False),
    ):
        monkeypatch.setattr(prepare_module, "cores", lambda count=count: count)
        with helpers(images):
            assert (helpers_here() is not None) == some
        assert helpers_here() is None
    monkeypatch.undo()
    assert cores() >= 1


@pytest.mark.usefixtures("many_cores")
def test_extraction_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "LEAST_IMAGES", N)
    log = tmp_path / "log"
    device = Device(log_preparation=str(log))
    view = FakeView(source=FakeSource(n=N))
    done = embed_view(view, device, tmp_path / "home")
    assert done.new == N
    assert os.getpid() not in {int(line) for line in log.read_text().split()}
    assert embed_view(view, replace(device, log_preparation=None), tmp_path / "home").new == 0
