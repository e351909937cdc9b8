"""`semsim ui`: Dagster's UI and daemon on this home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import click

from semsim_pipeline.cli.reload import CatalogWatch
from semsim_pipeline.errors import WorkError, WrongCallError

SECONDS_TO_END = 6.0
"""What the servers get to end by themselves after a signal, before they are killed."""
SECONDS_TO_START = 3600.0
"""A busy machine takes minutes; servers that cannot start end by themselves."""
PORTS_TRIED = 50
WATCH_VARIABLE = "SEMSIM_WATCH"
"""Read by `defs/watching.py`, which this module does not import: that would load Dagster for `--help`."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; the UI has no password.")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--watch", is_flag=True, help="Switch on all sensors: what changes is scored by itself.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.IntRange(1, 86400),
    default=30,
    show_default=True,
    help="With --watch: how often to look.",
)
def ui(host: str, port: int, watch: bool, every: int) -> int:
    """Start Dagster's UI, schedules and sensors on this home; Ctrl-C ends them.

    \b
    Example: semsim ui
             semsim ui --port 3001
             semsim ui --watch

    Its state is under SEMSIM_HOME/dagster, whatever DAGSTER_HOME says, so that `semsim demo` and `semsim rescore` show
    up in it. An edit of the catalogue shows up by itself within a minute; a wrong one is said here, in one line, and
    what was there stays. Without --watch nothing is scored unasked but by a comparison's own schedule; each sensor has
    its switch in the UI as well, which wins.
    """
    from semsim_pipeline.catalog import load_catalog
    from semsim_pipeline.home import ensure_home

    _check_port(host, port)
    home = ensure_home()
    load_catalog(home)  # a typo is said here, in a line, and not in a server's log
    elsewhere = os.environ.get("DAGSTER_HOME")
    folder = _dagster_home(home)
    if elsewhere and Path(elsewhere).resolve() != folder.resolve():
        click.echo(f"DAGSTER_HOME={elsewhere} is left alone; the UI shows {folder}.", err=True)
    if watch:
        os.environ[WATCH_VARIABLE] = str(every)
    return _serve(home, folder, host, port)


def _dagster_home(home: Path) -> Path:
    """Dagster's folder, its database made and runs of killed terminals marked, before several processes open it."""
    from semsim_pipeline.defs.instance import fail_dead_runs, instance_of

    with instance_of(home) as instance:
        fail_dead_runs(instance)
    return home / "dagster"


def _serve(home: Path, folder: Path, host: str, port: int) -> int:
    from semsim_pipeline.catalog import catalog_path

    command = [sys.executable, "-m", "dagster", "dev", "-w", str(folder / "workspace.yaml")]
    command += ["--host", host, "--port", str(port), "--log-level", "warning", "--code-server-log-level", "warning"]
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "SEMSIM_HOME": str(home)}
    # Dagster gives up on a run whose process did not start within a minute, which takes longer on a busy machine.
    environment.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", "300")
    # `dagster dev` says on every start that another command supersedes it, which is in no dependency of ours.
    environment.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command`")
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - what the user asked for
    url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    catalog = CatalogWatch(catalog_path(home), url)
    with Servers(command, environment, folder) as servers:
        click.echo("Starting Dagster …", err=True)
        if servers.wait_until(lambda: _answers(url), SECONDS_TO_START):
            click.echo(f"Dagster's UI is at {url} (Ctrl-C ends it).")
            sys.stdout.flush()
            catalog.start()
        code = servers.wait()
        catalog.stop()
    if servers.asked_to_end:
        return 0 if servers.asked_to_end == signal.SIGTERM else 130
    raise WorkError(f"Dagster ended by itself with code {code}; its messages are above.")


class Servers:
    """Dagster's processes as one group, which ends whole and in time when this process is told to."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._command, self._environment, self._folder = command, environment, folder
        self.asked_to_end: int = 0

    def __enter__(self) -> Servers:
        # First, so that no signal finds servers without one who ends them. What is ignored (`nohup`) stays so.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        # A session of its own: a signal can then reach every server, and Ctrl-C reaches them through us alone.
        with _interrupts_for_children():
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own arguments
                self._command, env=self._environment, cwd=self._folder, start_new_session=True, stdin=subprocess.DEVNULL
            )
        return self

    def _note(self, number: int, _frame: object) -> None:
        self.asked_to_end = self.asked_to_end or number

    def wait_until(self, ready: object, seconds: float) -> bool:
        """Whether `ready()` came true before the time was over, the servers ended, or a signal came."""
        assert callable(ready)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.asked_to_end and self._process.poll() is None:
            if ready():
                return True
            time.sleep(0.3)
        return False

    def wait(self) -> int:
        """Until the servers end or a signal comes; their exit code, 0 after a signal."""
        while not self.asked_to_end:
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(0.5)
        return 0

    def __exit__(self, *_: object) -> None:
        group = self._process.pid
        self._signal(group, signal.SIGTERM)
        deadline = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < deadline and _group_lives(group):
            self._process.poll()
            time.sleep(0.1)
        self._signal(group, signal.SIGKILL)
        self._process.wait()

    @staticmethod
    def _signal(group: int, number: int) -> None:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(group, number)


@contextmanager
def _interrupts_for_children() -> Iterator[None]:
    """Processes started in the block do not ignore SIGINT, even where this one does, as behind `&` in a script:
    Dagster ends its servers by it, and would wait for ever."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: None)  # handlers end with `exec`, ignored signals stay ignored
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(url: str) -> bool:
    # Our own server is asked without a proxy, whatever http_proxy says: that one cannot reach this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/server_info", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _check_port(host: str, port: int) -> None:
    """Raises WrongCallError where the port is taken or the address is not this machine's; names a free one."""
    if _free(host, port):
        return
    other = next((p for p in range(port + 1, min(port + PORTS_TRIED, 65535)) if _free(host, p)), None)
    hint = f" Port {other} is free: semsim ui --port {other}" if other else ""
    raise WrongCallError(f"{host}:{port} cannot be used: it is in use, or not an address of this machine.{hint}")


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
