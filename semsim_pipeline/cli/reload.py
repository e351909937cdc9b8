"""Beside a running `semsim ui`: see that the catalogue changed, and have Dagster load the graph again."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from pathlib import Path
from threading import Event, Thread
from urllib.error import URLError

import click

from semsim_pipeline.errors import CatalogError

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_LOAD = 300.0
"""10,000 pairs take some ten seconds on a busy machine; this is for what hangs."""
LOCATION = "semsim"
"""As in `settings/workspace.yaml`."""
MUTATION = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
  ... on PythonError { message } ... on ReloadNotSupported { message } ... on RepositoryLocationNotFound { message }
  ... on UnauthorizedError { message } } }"""


class CatalogWatch:
    """Asks for a reload once the file has other contents than what is loaded, is right, and was so for two looks.

    The contents decide, not times or events: so an editor's way of saving, a replaced file and a mount without
    notifications are all the same. A wrong file is said in one line, and what is loaded stays.
    """

    def __init__(self, path: Path, url: str) -> None:
        """To be made before the servers start, so that no edit falls between."""
        self._path, self._url = path, url
        self._loaded = self._seen = self._digest()
        self._said = ""
        self._end = Event()
        self._thread = Thread(target=self._run, name="catalogue", daemon=True)

    def start(self) -> None:
        """Watch from now on, beside the caller."""
        self._thread.start()

    def stop(self) -> None:
        """No reload is begun after this."""
        self._end.set()

    def look(self) -> bool:
        """One look; whether the graph was loaded again."""
        now = self._digest()
        settled, self._seen = now == self._seen, now
        if not settled or now == self._loaded:
            return False
        from semsim_pipeline.catalog import load_catalog

        try:
            catalog = load_catalog(self._path.parent)
        except CatalogError as error:
            self._say(now, f"{_one_line(str(error))} The graph stays as it was.")
            return False
        problem = reload(self._url)
        if problem is not None:  # asked for again at the next look
            self._say(now, f"the catalogue changed, but Dagster did not load it: {problem}")
            return False
        self._loaded = now
        self._say(now, f"the catalogue changed; loaded again with {len(catalog.pairs):,} pairs.", once=False)
        return True

    def _run(self) -> None:
        while not self._end.wait(SECONDS_BETWEEN_LOOKS):
            self.look()

    def _digest(self) -> str:
        """Of the file's bytes; what stands for them where it cannot be read, such as its absence."""
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()
        except OSError as error:
            return type(error).__name__

    def _say(self, digest: str, message: str, *, once: bool = True) -> None:
        """A line on stderr; the same one about the same contents is said once."""
        if once and self._said == digest + message:
            return
        self._said = digest + message if once else ""
        click.echo(f"semsim: {message}", err=True)


def reload(url: str) -> str | None:
    """Have the webserver load the graph again, and wait for it; None, or why it did not, in a line."""
    body = json.dumps({"query": MUTATION, "variables": {"name": LOCATION}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - ours
    # Our own server is asked without a proxy, whatever http_proxy says: that one cannot reach this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=SECONDS_TO_LOAD) as answer:
            found = json.load(answer)["data"]["reloadRepositoryLocation"]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        return _one_line(str(error) or type(error).__name__)
    loaded = found.get("locationOrLoadError") or {}
    message = found.get("message") or loaded.get("message")
    return None if message is None else _one_line(str(message))


def _one_line(text: str) -> str:
    """The first line, and how many follow."""
    lines = [line for line in text.splitlines() if line.strip()]
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0].strip()}{more}" if lines else "no reason given"
