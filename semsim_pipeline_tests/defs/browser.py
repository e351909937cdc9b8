"""Debian's chromium, driven as a person would; shared by the browser test and the script that makes screenshots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
MILLISECONDS = 60_000.0


def chromium() -> str | None:
    """Where the browser is, None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def page(width: int = 1400, height: int = 1000, *, dark: bool = False) -> Iterator[Page]:
    """A fresh browser's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            found = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
            )
            found.set_default_timeout(MILLISECONDS)
            yield found
        finally:
            browser.close()


def partition_url(url: str, asset: str, partition: str) -> str:
    """The page of one partition of an asset in Dagster's UI."""
    return f"{url}/assets/{asset}?view=partitions&partition={quote(partition, safe='')}"
