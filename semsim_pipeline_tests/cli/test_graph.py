"""`demo`, `rescore` and `ui`: what they print and how they fail; the graph itself has its own tests."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from semsim_pipeline.cli import rescore, ui
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = pytest.mark.usefixtures("quick_pictures")


@pytest.fixture
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for each test: what one test scored must not be a hit of the next."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SEMSIM_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def catalog(home: Path) -> Path:
    for number, dataset in enumerate(("left", "right")):
        write_pictures(home / dataset, 20, seed=number)
    path = home / "catalog.yaml"
    path.write_text(
        "datasets: {left: left, right: right}\nencoders: {classical: classical}\n"
        "comparisons: {whole: {title: 'Left [and] right', pairs: [[left, right]]}}\n",
        encoding="utf-8",
    )
    return path


def test_rescore_prints_the_table_the_page_and_the_way_to_the_ui(semsim: Semsim, catalog: Path) -> None:
    ran = semsim("rescore", "-q")
    assert ran.code == 0
    assert "Left [and] right" in ran.out
    assert re.search(r"left +right .* 95 %|left +right", ran.out)
    page = catalog.parent / "reports" / "whole" / "index.html"
    assert str(page) in ran.out.replace("\n", "")
    assert page.is_file()
    assert "semsim ui" in ran.out
    assert " 8 computed now" in ran.out
    again = semsim("rescore", "-q")
    assert " 0 computed now" in again.out


def test_a_pair_that_fails_leaves_the_others_and_is_said(semsim: Semsim, catalog: Path) -> None:
    text = catalog.read_text(encoding="utf-8").replace("right: right}", "right: right, gone: gone}")
    catalog.write_text(text.replace("[left, right]", "[left, right], [left, gone]"), encoding="utf-8")
    ran = semsim("rescore", "-q")
    assert ran.code == 1
    assert "semsim: dataset_manifest of gone: " in ran.err
    assert "Traceback" not in ran.err
    assert "left" in ran.out


def test_what_one_failure_keeps_from_being_done_is_counted_in_one_line(semsim: Semsim, catalog: Path) -> None:
    text = catalog.read_text(encoding="utf-8").replace("right: right}", "right: right, gone: gone.zip}")
    catalog.write_text(text.replace("[left, right]", "[gone, left], [gone, right]"), encoding="utf-8")
    ran = semsim("rescore", "-q")
    assert ran.code == 1
    failed, waiting = [line for line in ran.err.splitlines() if "gone" in line]
    assert failed.startswith("semsim: dataset_manifest of gone: There is no file or folder ")
    assert waiting == (
        "semsim: not done, because dataset_manifest of gone failed: 1 embeddings, 2 pair_metrics, 2 pair_plots"
    )
    assert "Left [and] right (2 pairs): no score yet." in ran.out


def test_an_unknown_comparison_is_a_wrong_call(semsim: Semsim, catalog: Path) -> None:
    ran = semsim("rescore", "-q", "--comparison", "whol")
    assert ran.code == 2
    assert "Did you mean 'whole'?" in ran.one_line()


@pytest.mark.parametrize("command", ["rescore", "ui"])
def test_a_typo_in_the_catalogue_is_its_line(semsim: Semsim, catalog: Path, command: str) -> None:
    catalog.write_text(catalog.read_text(encoding="utf-8").replace("encoders:", "encodrs:"), encoding="utf-8")
    ran = semsim(command)
    assert ran.code == 2
    assert f"{catalog}:2:" in ran.err
    assert "Did you mean 'encoders'?" in ran.err
    assert "Traceback" not in ran.err


def test_another_dagster_home_is_left_alone(
    semsim: Semsim, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    monkeypatch.setenv("DAGSTER_HOME", str(theirs))
    ran = semsim("rescore", "-q")
    assert ran.code == 0
    assert f"DAGSTER_HOME={theirs} is left alone" in ran.err
    assert not theirs.exists()
    assert (catalog.parent / "dagster" / "history").is_dir()


def test_compare_takes_the_catalogues_names(semsim: Semsim, catalog: Path) -> None:
    ran = semsim("compare", "left", "right", "-q")
    assert ran.code == 0
    assert ran.out.startswith("left  against  right")
    wrong = semsim("compare", "left", "rigth", "-q")
    assert wrong.code == 2
    assert "Did you mean 'right'?" in wrong.one_line()


def test_a_broken_catalogue_does_not_stop_two_folders(semsim: Semsim, catalog: Path) -> None:
    catalog.write_text("datasets: [", encoding="utf-8")
    home = catalog.parent
    assert semsim("compare", str(home / "left"), str(home / "right"), "-q").code == 0


def test_the_command_for_the_ui_can_be_pasted(home: Path) -> None:
    assert rescore._ui_command(home) == "semsim ui"
    assert rescore._ui_command(Path("/my data/demo")) == "SEMSIM_HOME='/my data/demo' semsim ui"


@pytest.fixture
def hang_up_handler() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("hang_up_handler")
def test_nohup_is_respected_and_other_signals_end_the_servers(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with ui.Servers(command, {}, tmp_path) as servers:
        signal.raise_signal(signal.SIGHUP)
        asked = [servers.asked_to_end]
        signal.raise_signal(signal.SIGTERM)
        asked.append(servers.asked_to_end)
    assert asked == [0, signal.SIGTERM]


@pytest.mark.usefixtures("hang_up_handler")
@pytest.mark.parametrize("ignored", [True, False])
def test_servers_of_a_background_command_can_be_interrupted(ignored: bool, tmp_path: Path) -> None:
    if ignored:  # as a shell script does for what it starts with `&`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = tmp_path / "told"
    code = f"import signal; open({str(told)!r}, 'w').write(str(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))"
    with ui.Servers([sys.executable, "-c", code], {}, tmp_path) as servers:
        servers.wait()
        assert (signal.getsignal(signal.SIGINT) is signal.SIG_IGN) is ignored
    assert told.read_text() == "False"


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert ui._answers(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_status_in_words_as_json_and_as_a_check(semsim: Semsim, catalog: Path) -> None:
    import json

    before = semsim("status", "--check")
    assert before.code == 1
    assert "1 pairs: 1 missing." in before.out
    assert "semsim rescore" in before.out
    assert semsim("rescore", "-q").code == 0
    assert semsim("status", "--check").code == 0
    assert json.loads(semsim("status", "--json").out) == {"pairs": {"left~right@classical": {"state": "fresh"}}}
    write_pictures(catalog.parent / "left", 1, seed=50, name="new.png")
    found = json.loads(semsim("status", "--json").out)["pairs"]["left~right@classical"]
    assert found["state"] == "stale"
    assert "left: manifest" in found["why"]
