"""Make the README's pictures from a fresh `semsim demo`: its heat map and map, its report, and Dagster's UI on it.

Run `uv run python -m docs.make_pictures`; needs Debian's chromium. Screenshots are stored with 256 colours.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline_tests.defs.browser import page, partition_url
from semsim_pipeline_tests.defs.live import Live, live_ui

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent / "pictures"
PAIR = "digits.3~digits.8@classical"


def main() -> None:
    """Run the demo in a home of its own and photograph what it made."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="semsim-pictures-") as folder:
        home = Path(folder) / "home"
        os.environ["SEMSIM_HOME"] = str(home)
        subprocess.run([sys.executable, "-m", "semsim_pipeline", "demo", "-q"], check=True, stdout=subprocess.DEVNULL)
        [heatmap] = home.glob("matrices/digit-classes/*/heatmap.png")
        [drawn] = home.glob(f"pictures/{PAIR}/*/embedding_map.png")
        for name, path in (("heatmap.png", heatmap), ("map.png", drawn)):
            (FOLDER / name).write_bytes(path.read_bytes())
        with page(1100, 1200) as browser:
            browser.goto((home / "reports" / "digit-classes" / "index.html").as_uri())
            keep(browser, "report.png")
        with live_ui(home) as ui:
            photograph_dagster(ui)


def photograph_dagster(ui: Live) -> None:
    """The graph around the scores, and a pair with its map."""
    with page(1500, 640) as browser:
        browser.goto(f"{ui.url}/assets/pair_metrics?view=lineage&lineageScope=neighbors&lineageDepth=5")
        browser.wait_for_timeout(9000)  # the graph is laid out, and every asset shows its state
        keep(browser, "dagster-graph.png")
    with page(1500, 1000) as browser:
        browser.goto(partition_url(ui.url, "pair_plots", PAIR))
        browser.get_by_text("[Show Markdown]").nth(1).click()
        browser.locator('img[src^="data:image/png"]').first.wait_for()
        browser.wait_for_timeout(1000)
        keep(browser, "dagster-pair.png")


def keep(browser: Page, name: str) -> None:
    """Store what the browser shows, small."""
    from PIL import Image

    # Dagster's greeting covers what is behind it; an action, even one that is only tried, has it closed first.
    browser.locator("body").click(position={"x": 3, "y": 3}, trial=True)
    browser.wait_for_timeout(1000)
    image = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
