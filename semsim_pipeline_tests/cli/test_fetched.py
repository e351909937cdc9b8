"""Sources that come over a network, through the command line: fetched once, then like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from semsim_pipeline.datasets import cifar10
from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.published_sets import cifar10 as made10
from semsim_pipeline_tests.servers import FileServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    content = made10(per_batch=40)
    with FileServer() as served:
        file = cifar10.LAYOUT.file
        url = served.publish(file.name, content)
        made = replace(file, url=url, checksum=f"md5:{hashlib.md5(content).hexdigest()}")
        monkeypatch.setattr(cifar10, "LAYOUT", replace(cifar10.LAYOUT, file=made))
        yield served


def test_two_classes_are_fetched_and_compared_and_the_second_time_nothing_is(
    semsim: Semsim, new_home: Path, server: FileServer
) -> None:
    ran = semsim("compare", "cifar10[label=cat]", "cifar10[label=dog]", "--json", "-")
    assert ran.code == 0, ran.err
    found = ran.json()
    assert found["reference"]["name"] == "cifar10[label=cat]"  # type: ignore[index]
    assert found["reference"]["n"] == found["candidate"]["n"] == 24  # type: ignore[index]
    assert "Fetching cifar-10-python.tar.gz" in ran.err
    asked = len(server.requests)
    again = semsim("compare", "cifar10[label=cat]", "cifar10[label=dog]", "--json", "-")
    assert again.json()["similarity"] == found["similarity"]
    assert len(server.requests) == asked == 1


def test_fetched_ahead_and_embedded_without_a_network(
    semsim: Semsim, new_home: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = semsim("datasets", "fetch", "cifar10[split=test]")
    assert (ran.code, ran.out) == (0, "cifar10[split=test]: 40 images are on this machine\n")
    server.close()
    monkeypatch.setenv("SEMSIM_OFFLINE", "1")
    assert semsim("embed", "cifar10[split=test]").code == 0


def test_an_address_goes_through_the_catalogue(semsim: Semsim, new_home: Path, labelled: Path) -> None:
    import shutil

    new_home.mkdir()
    archive = shutil.make_archive(str(new_home / "made"), "zip", labelled)
    with FileServer() as files:
        url = files.publish("made.zip", Path(archive).read_bytes())
        assert semsim("catalog", "add", "dataset", "there", f"{url}[label=stripes|blobs]").code == 0
        assert files.asked("GET") == []
        assert semsim("catalog", "add", "dataset", "known", url, "--values", "label").code == 0
        assert semsim("catalog", "add", "dataset", "none", f"{url}.gone").one_line().count("404") == 1
        assert semsim("catalog", "check").code == 0
        assert "known" in (new_home / "catalog.yaml").read_text(encoding="utf-8")
        assert semsim("catalog", "add", "pair", "known[label=stripes]", "there[label=blobs]").code == 0
        files.requests.clear()
        ran = semsim("rescore")
        assert ran.code == 0, ran.err + ran.out
        assert len(files.asked("GET")) == 0  # one address is one file, by whatever name


def test_offline_one_line_names_the_file_the_place_and_the_command(
    semsim: Semsim, new_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSIM_OFFLINE", "1")
    ran = semsim("compare", "cifar100[coarse=trees]", "digits", "--quiet")
    assert ran.code == 1
    line = ran.one_line()
    for part in ("cifar-100-python.tar.gz", str(new_home), "`semsim datasets fetch cifar100`"):
        assert part in line
