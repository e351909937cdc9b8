"""In a real browser: materialise one pair by clicking, and see its picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.defs.browser import chromium, page, partition_url
from semsim_pipeline_tests.defs.live import Live, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(chromium() is None, reason="needs a browser: apt-get install chromium"),
    # playwright's transport is closed by its own process, after the loop that warns has gone
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PAIR = "left~right@classical"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("browser") / "home"
    for number, dataset in enumerate(("left", "right")):
        write_pictures(home / dataset, 60, seed=number)
    (home / "catalog.yaml").write_text(
        "datasets: {left: left, right: right}\nencoders: {classical: classical}\n"
        "comparisons: {whole: {pairs: [[left, right]]}}\n",
        encoding="utf-8",
    )
    rescore_in_process(home, Silent())
    with live_ui(home) as found:
        yield found


def test_a_pair_is_materialised_by_clicking_and_its_picture_seen(ui: Live) -> None:
    before = len(ui.events("pair_plots", PAIR))
    assert before == 1  # the bulk run's, shown as what it is
    with page() as browser:
        browser.goto(partition_url(ui.url, "pair_plots", PAIR))
        browser.get_by_text("rescore", exact=True).first.wait_for()
        assert browser.get_by_text("Unsynced").count() == 0
        browser.get_by_role("button", name="Materialize").first.click()
        browser.get_by_role("button", name="Launch 1 run").click()
        ui.wait_until(lambda: len(ui.events("pair_plots", PAIR)) == before + 1, "the run that was clicked for")
        browser.reload()
        browser.get_by_text("[Show Markdown]").first.click()
        picture = browser.locator('img[src^="data:image/png"]').first
        picture.wait_for()
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 300


def test_the_report_stands_alone_in_a_browser(ui: Live, tmp_path: Path) -> None:
    from semsim_pipeline.stages.report import report_file

    path = Path(str(ui.events("report", "whole")[0]["metadata"]["page"]))
    assert path == report_file(path.parents[2], "whole")
    asked: list[str] = []
    for width in (1280, 390):
        with page(width, 900) as browser:
            browser.on("request", lambda request: asked.append(request.url))
            browser.goto(path.as_uri())
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            broken = browser.evaluate("[...document.images].filter(i => !(i.complete && i.naturalWidth)).length")
            assert broken == 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
