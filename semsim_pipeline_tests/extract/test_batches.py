from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.datasets.base import Content, ItemRef
from semsim_pipeline.encoders.base import LoadedEncoder, Parallel
from semsim_pipeline.extract.batches import Batches
from semsim_pipeline.extract.plan import embedding_key
from semsim_pipeline.extract.records import ShardSpec
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource

LANES = 3


@dataclass(kw_only=True)
class Lanes:
    """A loaded encoder that is `Parallel`: notes its threads, and waits until `LANES` encode at once."""

    together: threading.Barrier | None = None
    batch_size: int = 4
    least_side: int = 16
    dim: int = 2
    begun: set[int] = field(default_factory=set)
    encoded: set[int] = field(default_factory=set)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @contextmanager
    def lanes(self) -> Iterator[Callable[[], None]]:
        yield lambda: self.begun.add(threading.get_ident())

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.shapes.append(image.shape)
        return image[:8, :8]

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.encoded.add(threading.get_ident())
        if self.together is not None:
            self.together.wait(timeout=20)
        return batch.reshape(len(batch), -1)[:, :2].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Photos(FakeSource):
    """The same JPEG of 128 x 96 pixels under every path."""

    def read(self, item: object) -> Content:
        return PHOTO


def photo() -> bytes:
    y, x = np.mgrid[:96, :128]
    grey = (np.sin(x / 9) * np.cos(y / 7) * 100 + 128).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(out, "JPEG")
    return out.getvalue()


PHOTO = photo()


def spec(source: FakeSource, folder: Path, *, threads: int = LANES, batch_size: int | None = None) -> ShardSpec:
    items = tuple(source.items())
    encoder = FakeEncoder(batch_size=7)
    return ShardSpec(
        source=source, items=items, image_ids=tuple(image_id_of(source.read(item)) for item in items),
        encoder=encoder, key=embedding_key(encoder), folder=folder, batch_size=batch_size, threads=threads,
    )  # fmt: skip


def all_rows(
    order: ShardSpec, encoder: LoadedEncoder, *, hashed: bool = False
) -> tuple[NDArray[np.float32], list[int]]:
    with Batches(order, encoder, hashed=hashed) as batches:
        found = [begun.result() for begun in [batches.begin(number) for number in range(len(batches))]]
    return np.concatenate([batch.rows for batch in found]), [len(batch.good) for batch in found]


def test_lanes_encode_at_once_and_rows_stay_in_order(tmp_path: Path) -> None:
    encoder = Lanes(together=threading.Barrier(LANES))
    assert isinstance(encoder, Parallel)
    rows, sizes = all_rows(spec(FakeSource(n=12), tmp_path), encoder)
    assert sizes == [4, 4, 4]  # what the loaded encoder asks for, three that wait for one another
    assert len(encoder.encoded) == LANES
    assert encoder.encoded <= encoder.begun
    alone, _ = all_rows(spec(FakeSource(n=12), tmp_path, threads=1, batch_size=5), Lanes())
    np.testing.assert_array_equal(rows, alone)


def test_another_encoder_is_called_from_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = threading.Semaphore(1)
    plain = FakeEncoder.encode

    def watched(self: FakeEncoder, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert inside.acquire(blocking=False), "two at once"
        threading.Event().wait(0.002)
        inside.release()
        return plain(self, batch)

    monkeypatch.setattr(FakeEncoder, "encode", watched)
    _, sizes = all_rows(spec(FakeSource(n=60), tmp_path), FakeEncoder())
    assert sizes == [7] * 8 + [4]


def test_a_photo_is_decoded_as_small_as_the_encoder_bears(tmp_path: Path) -> None:
    encoder = Lanes(least_side=48)
    all_rows(spec(Photos(n=3), tmp_path), encoder)
    assert set(encoder.shapes) == {(48, 64, 3)}


def test_an_images_hash_is_the_same_whichever_encoder_met_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsim_pipeline.extract.prepare.HASHED_SIDE", 24)
    hashes = []
    for encoder in (Lanes(least_side=12), Lanes(least_side=24), Lanes(least_side=1000), FakeEncoder()):
        with Batches(spec(Photos(n=1), tmp_path), encoder, hashed=True) as batches:
            hashes.append(batches.begin(0).result().hashes[0].tolist())
    assert any(hashes[0])
    assert hashes == [hashes[0]] * 4


def test_what_a_thread_raises_reaches_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = spec(FakeSource(n=40), tmp_path)

    def broken(self: Lanes, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise ArithmeticError("boom")

    monkeypatch.setattr(Lanes, "encode", broken)
    with pytest.raises(ArithmeticError, match="boom"):
        all_rows(order, Lanes())
    monkeypatch.setattr(FakeSource, "read", lambda self, item: (_ for _ in ()).throw(KeyError("gone")))
    with pytest.raises(KeyError, match="gone"):
        all_rows(order, Lanes())


def test_batches_that_cannot_be_read_leave_room_for_those_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, plain = spec(FakeSource(n=40), tmp_path), FakeSource.read
    broken = [item.path for item in order.items[:32]]  # eight batches, more than may be under way at once

    def read(self: FakeSource, item: ItemRef) -> Content:
        if item.path in broken:
            raise KeyError("gone")
        return plain(self, item)

    monkeypatch.setattr(FakeSource, "read", read)
    with Batches(order, Lanes()) as batches:
        begun = [batches.begin(number) for number in range(len(batches))]
        for failed in begun[:8]:
            with pytest.raises(KeyError, match="gone"):
                failed.result(timeout=20)
        assert [len(whole.result(timeout=20).rows) for whole in begun[8:]] == [4, 4]
