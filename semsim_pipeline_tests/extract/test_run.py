from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from semsim_pipeline.errors import (
    EmptyDatasetError,
    InvalidEmbeddingsError,
    StoreError,
    UnknownNameError,
    WorkError,
    WrongCallError,
)
from semsim_pipeline.extract import run, shard
from semsim_pipeline.extract.engines import engine
from semsim_pipeline.extract.plan import failures
from semsim_pipeline.extract.records import Extraction, ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.store import index, writer
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import read, verify
from semsim_pipeline_tests.extract.fakes import DIM, FakeEncoder, FakeSource, FakeView, encoded, pixels

ONE = ExtractOptions(workers=1, part_rows=16)


def view(n: int, **facts) -> FakeView:
    return FakeView(source=FakeSource(n=n, **facts))


def rows_of(result: Extraction) -> dict[str, bytes]:
    """Embedding bytes by image id, from whatever parts."""
    embeddings = EmbeddingSet(folder=result.folder, key=result.key)
    ids = pl.concat(embeddings.id_batches(failed=False))["image_id"]
    return {name: row.tobytes() for name, row in zip(ids, read(embeddings, ids), strict=True)}


def test_rows_are_the_images_and_the_counts_agree(tmp_path: Path) -> None:
    result = embed_view(view(50, bad=frozenset({3}), gone=frozenset({5})), FakeEncoder(), tmp_path, ONE)
    assert (result.seen, result.embedded, result.failed, result.new, result.manifest.failed) == (50, 48, 2, 48, 2)
    manifest = pl.read_parquet(result.manifest.path)
    assert manifest["path"].to_list()[:4] == ["0/0.png", "1/1.png", "2/2.png", "0/3.png"]
    assert manifest["status"].to_list()[3:6] == ["failed", "ok", "failed"]
    assert manifest.filter(status="ok")[0].select("label.label", "width", "height", "format").row(0) == (
        "0",
        8,
        8,
        "array",
    )
    stored = rows_of(result)
    for number in (0, 4, 49):
        want = pixels(number).reshape(-1)[:DIM].astype(np.float32)
        assert stored[manifest["image_id"][number]] == want.tobytes()
    embeddings = EmbeddingSet(folder=result.folder, key=result.key)
    assert max(part.rows for part in embeddings.parts()) <= 16
    assert dict(failures(result.manifest, embeddings).collect().iter_rows())["2/5.png"] == "cannot be opened: gone"
    assert verify(embeddings) == []


@pytest.mark.parametrize(
    ("options", "concurrency"),
    [
        (ExtractOptions(workers=1, batch_size=1, part_rows=7), "processes"),
        (ExtractOptions(workers=1, batch_size=64, part_rows=64), "threads"),
        (ExtractOptions(workers=2, batch_size=5, part_rows=11), "processes"),
    ],
)
def test_nothing_depends_on_batch_part_or_workers(tmp_path: Path, options: ExtractOptions, concurrency) -> None:
    images = view(60, bad=frozenset({1, 17}))
    plain = embed_view(images, FakeEncoder(), tmp_path / "a", ExtractOptions(workers=1))
    other = embed_view(images, FakeEncoder(concurrency=concurrency), tmp_path / "b", options)
    assert rows_of(plain) == rows_of(other)
    assert plain.manifest.version == other.manifest.version


def test_a_grown_dataset_costs_what_it_grew_by(tmp_path: Path) -> None:
    log, reads = tmp_path / "log", tmp_path / "reads"
    encoder = FakeEncoder(log=str(log))
    embed_view(view(100, distinct=1000), encoder, tmp_path, ONE)
    assert encoded(log) == 100
    grown = embed_view(view(103, distinct=1000, reads=str(reads)), encoder, tmp_path, ONE)
    assert (encoded(log), grown.new, grown.embedded, grown.manifest.new) == (103, 3, 103, 3)
    assert len(reads.read_text().splitlines()) == 6, "each new image is read by the scan and by the shard, no other"
    again = embed_view(view(103, distinct=1000), encoder, tmp_path, ONE)
    assert (encoded(log), again.new, again.manifest.new, again.manifest.version) == (103, 0, 0, grown.manifest.version)


def test_twins_are_embedded_once_within_a_dataset_and_across(tmp_path: Path) -> None:
    log = tmp_path / "log"
    encoder = FakeEncoder(log=str(log))
    first = embed_view(view(30, distinct=10), encoder, tmp_path, ONE)
    assert (encoded(log), first.embedded, first.new) == (10, 30, 10)
    other = embed_view(view(12, location="elsewhere", distinct=12), encoder, tmp_path, ONE)
    assert (encoded(log), other.embedded, other.new) == (12, 12, 2)
    part = embed_view(replace(view(30, distinct=10), limit=5), encoder, tmp_path, ONE)
    assert (encoded(log), part.seen, part.manifest.new) == (12, 5, 0)


def test_another_fingerprint_is_another_set(tmp_path: Path) -> None:
    one = embed_view(view(5), FakeEncoder(), tmp_path, ONE)
    two = embed_view(view(5), FakeEncoder(name="fake2"), tmp_path, ONE)
    assert (two.new, one.folder == two.folder) == (5, False)


def test_an_image_that_opens_and_does_not_decode_is_a_failure_that_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    from PIL import Image

    from semsim_pipeline.datasets.resolve import open_view

    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(4):
        buffer = io.BytesIO()
        Image.fromarray(np.tile(pixels(i), (9, 9, 1))).save(buffer, "PNG")
        content = buffer.getvalue()
        (folder / f"{i}.png").write_bytes(content[: len(content) // 2] if i == 2 else content)
    monkeypatch.setattr(index, "RACY_NS", 0)  # files this young would be read once more
    time.sleep(0.02)
    result = embed_view(open_view(str(folder)), FakeEncoder(), tmp_path / "home", ONE)
    assert (result.seen, result.embedded, result.failed, result.manifest.failed) == (4, 3, 1, 0)
    assert result.reasons[0].startswith("2.png: ")
    again = embed_view(open_view(str(folder)), FakeEncoder(mode="nan"), tmp_path / "home", ONE)
    assert (again.embedded, again.failed, again.new, again.manifest.new) == (3, 1, 0, 0)
    listed = failures(again.manifest, EmbeddingSet(folder=again.folder, key=again.key)).collect()
    assert listed["path"].to_list() == ["2.png"]


def test_a_file_that_changed_since_the_scan_is_never_stored_under_the_old_id(tmp_path: Path, monkeypatch) -> None:
    images = view(20)
    real = run.scan

    def scan_then_change(seen, home, progress):
        ref = real(seen, home, progress)
        real_read = FakeSource.read
        monkeypatch.setattr(
            FakeSource, "read", lambda s, item: pixels(999) if item.locator == 4 else real_read(s, item)
        )
        return ref

    monkeypatch.setattr(run, "scan", scan_then_change)
    result = embed_view(images, FakeEncoder(), tmp_path, ONE)
    assert (result.embedded, result.failed, result.skipped) == (19, 1, 1)
    assert result.reasons == ("1/4.png: changed since the scan; the next run will see to it",)
    monkeypatch.undo()
    healed = embed_view(images, FakeEncoder(), tmp_path, ONE)
    assert (healed.embedded, healed.failed, healed.new) == (20, 0, 1)
    old = hashlib.sha256(f"{pixels(4).shape}{pixels(4).dtype.str}".encode() + pixels(4).tobytes()).hexdigest()
    assert rows_of(healed)[old] == pixels(4).reshape(-1)[:DIM].astype(np.float32).tobytes()


@pytest.mark.parametrize(("mode", "said"), [("nan", "NaN or infinity for '0/0.png'"), ("narrow", "was declared")])
def test_an_encoder_that_returns_nonsense_is_stopped(tmp_path: Path, mode: str, said: str) -> None:
    with pytest.raises(InvalidEmbeddingsError, match=said):
        embed_view(view(9), FakeEncoder(mode=mode), tmp_path, ONE)
    assert not list(tmp_path.rglob("part-*"))


def test_nothing_usable_is_an_error_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match=r"None of the 4 images .* 0/0.png: not an image"):
        embed_view(view(4, bad=frozenset(range(4))), FakeEncoder(), tmp_path, ONE)
    with pytest.raises(EmptyDatasetError, match="no images in this selection"):
        embed_view(view(0), FakeEncoder(), tmp_path, ONE)


def test_wrong_calls() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'local'"):
        engine("locl", 1)
    with pytest.raises(WrongCallError, match="part_rows"):
        ExtractOptions(part_rows=5000)
    with pytest.raises(WrongCallError, match="workers"):
        ExtractOptions(workers=0)


def test_a_full_disk_is_one_error_and_earlier_parts_stay(tmp_path: Path, monkeypatch) -> None:
    real = run.embed_shard
    written = []

    def until_the_disk_is_full(spec, **kwargs):
        if len(written) == 2:

            def full(_: int) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(writer.os, "fsync", full)
        written.append(spec)
        return real(spec, **kwargs)

    monkeypatch.setattr(run, "embed_shard", until_the_disk_is_full)
    with pytest.raises(StoreError, match="No space left on device"):
        embed_view(view(64), FakeEncoder(), tmp_path, ONE)
    monkeypatch.undo()
    kept = len(list(tmp_path.rglob("part-*")))
    assert kept == 2
    assert not list(tmp_path.rglob(".tmp-*"))
    log = tmp_path / "log"
    shard._loaded.clear()
    embed_view(view(64), FakeEncoder(log=str(log)), tmp_path, ONE)
    assert encoded(log) == 64 - 16 * kept


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StoreError, match="set SEMSIM_HOME"):
        embed_view(view(3), FakeEncoder(), tmp_path / "home", ONE)


def test_a_cut_part_is_embedded_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = embed_view(view(48), FakeEncoder(log=str(log)), tmp_path, ONE)
    before = rows_of(first)
    part = sorted(first.folder.glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-100])
    healed = embed_view(view(48), FakeEncoder(log=str(log)), tmp_path, ONE)
    assert (healed.new, encoded(log)) == (16, 64)
    assert rows_of(healed) == before


def test_a_worker_that_dies_is_replaced_and_one_that_always_dies_is_an_error(tmp_path: Path) -> None:
    options = ExtractOptions(workers=2, part_rows=16)
    result = embed_view(view(64), FakeEncoder(mode=f"die-once:{tmp_path / 'marker'}"), tmp_path, options)
    assert (tmp_path / "marker").exists()
    assert (result.embedded, result.new) == (64, 64)
    with pytest.raises(WorkError, match="died 3 times"):
        embed_view(view(20), FakeEncoder(name="x", mode="die"), tmp_path, options)


CHILD = """
import sys
from pathlib import Path
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView
class Talk:
    def start(self, *a): pass
    def update(self, **k): pass
    def say(self, message): print(message, flush=True)
if __name__ == "__main__":
    home, workers, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    encoder = FakeEncoder(seconds=seconds, log=str(home / "log"), batch_size=8)
    result = embed_view(FakeView(source=FakeSource(n=200)), encoder, home,
                        ExtractOptions(workers=workers, part_rows=16), Talk())
    print(result.new, flush=True)
"""


def child(tmp_path: Path, workers: int = 1, seconds: float = 0.004) -> subprocess.Popen[str]:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(workers), str(seconds)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_parts(tmp_path: Path, count: int) -> None:
    until = time.monotonic() + 60
    while len(list(tmp_path.rglob("part-*"))) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def group_is_gone(group: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_kill_and_resume_is_the_uninterrupted_run(tmp_path: Path, workers: int, blow: signal.Signals) -> None:
    with child(tmp_path, workers) as process:
        wait_for_parts(tmp_path, 3)
        os.kill(process.pid, blow)
        process.communicate(timeout=30)
        assert process.returncode != 0
        assert group_is_gone(process.pid), "workers must not outlive their parent"
    kept = len(list(tmp_path.rglob("part-*")))
    assert 3 <= kept < 13
    assert len(list(tmp_path.rglob(".tmp-*"))) <= workers
    log = tmp_path / "resumed"
    resumed = embed_view(view(200), FakeEncoder(log=str(log)), tmp_path, ONE)
    assert encoded(log) == 200 - 16 * kept, "every part that was finished counts"
    assert not list(tmp_path.rglob(".tmp-*"))
    whole = embed_view(view(200), FakeEncoder(), tmp_path / "whole", ONE)
    assert rows_of(resumed) == rows_of(whole)
    assert verify(EmbeddingSet(folder=resumed.folder, key=resumed.key)) == []


def test_two_processes_at_once_embed_each_image_once(tmp_path: Path) -> None:
    with child(tmp_path, seconds=0.025) as one:
        wait_for_parts(tmp_path, 1)
        with child(tmp_path, seconds=0.025) as two:
            told = [process.communicate(timeout=60) for process in (one, two)]
    assert [out.split("\n")[-2] for out, _ in told] == ["200", "0"], told
    assert "Another process embeds with fake; waiting for it." in told[1][0]
    assert encoded(tmp_path / "log") == 200


MEMORY = """
import sys, resource
from pathlib import Path
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView
result = embed_view(FakeView(source=FakeSource(n=int(sys.argv[2]))), FakeEncoder(dim=128), Path(sys.argv[1]),
                    ExtractOptions(workers=1))
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    peak = {}
    for n in (5_000, 100_000):
        home = tmp_path / str(n)
        call = [sys.executable, "-c", MEMORY, str(home), str(n)]
        peak[n] = int(subprocess.check_output(call, text=True, cwd=Path(__file__).parents[2])) / 1024
    assert peak[100_000] - peak[5_000] < 30, peak


def test_what_changed_under_an_unmoved_stamp_is_seen_by_the_next_run(tmp_path: Path, monkeypatch) -> None:
    images, real_scan, real_read = view(20), run.scan, FakeSource.read

    def scan_then_change(seen, home, progress):
        ref = real_scan(seen, home, progress)
        monkeypatch.setattr(
            FakeSource, "read", lambda s, item: pixels(999) if item.locator == 4 else real_read(s, item)
        )
        return ref

    monkeypatch.setattr(run, "scan", scan_then_change)
    assert embed_view(images, FakeEncoder(), tmp_path, ONE).skipped == 1
    monkeypatch.setattr(run, "scan", real_scan)
    healed = embed_view(images, FakeEncoder(), tmp_path, ONE)  # the content stays changed, and so does the stamp
    assert (healed.embedded, healed.failed, healed.new, healed.manifest.new) == (20, 0, 1, 1)
    assert embed_view(images, FakeEncoder(), tmp_path, ONE).manifest.new == 0


def test_a_killed_scan_leaves_nothing_behind_for_ever(tmp_path: Path) -> None:
    first = embed_view(view(5), FakeEncoder(), tmp_path, ONE)
    folder = first.manifest.path.parent
    dead, living = folder / ".tmp-999999999-ab", folder / f".tmp-{os.getpid()}-ab"
    for path in (dead, living):
        path.write_bytes(b"half a manifest")
    embed_view(view(5), FakeEncoder(), tmp_path, ONE)
    assert not dead.exists()
    assert living.exists(), "its writer lives"
