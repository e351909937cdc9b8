"""The source `huggingface`: any image data set of the hub that lies there as Parquet, at one revision.

The shards are fetched one at a time through the hub's own cache, and read like any Parquet. A branch or tag is resolved
to its commit, which is written down; what is here stays that commit until a fetch finds another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.datasets import parquet
from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.hub_shards import shards_of_card
from semsim_pipeline.datasets.stamp import Stamp
from semsim_pipeline.errors import MissingFilesError, UnreachableError, WrongCallError, WrongChecksumError
from semsim_pipeline.fingerprint import digest_of, digest_of_file
from semsim_pipeline.home import downloads_folder
from semsim_pipeline.hub import (
    DEFAULT_ENDPOINT,
    HUB_TIMEOUT_S,
    copied_folder,
    failures_of_a_download,
    first_line,
    forbidding,
    hub_cache,
    one_download,
    remove_cached,
    stated_digest,
    unreachable,
)
from semsim_pipeline.json_file import write_json
from semsim_pipeline.progress import Progress
from semsim_pipeline.records import ItemRef

if TYPE_CHECKING:
    from huggingface_hub import HfApi

OPTIONS = ("config", "split", *parquet.OPTIONS)
PLACE = re.compile(r"(?P<repo>[A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:@(?P<revision>[^@\s]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
GLANCE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What is here. folder: of the commit's files in the hub's cache. shards: names below it."""

    repo: str
    asked: str
    commit: str
    folder: str
    shards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """A data set of the hub. Options: `config`, `split` (all without it), and Parquet's own.

    Labels are the table's, ClassLabel numbers as their names. Memory: as Parquet.
    """

    location: str
    repo: str
    revision: str
    options: Mapping[str, str] = field(default_factory=dict)
    kind: str = "huggingface"

    @property
    def note(self) -> Path:
        """Where it is written down which commit is here."""
        key = digest_of([self.location, self.options.get("config", ""), self.options.get("split", "")])
        return downloads_folder() / "huggingface" / f"{self.repo.replace('/', '--')}-{key[:16]}.json"

    @property
    def label_columns(self) -> tuple[str, ...]:
        return self._inner().label_columns

    def held(self) -> Fetched | None:
        """What is here; None where any of it is not, or not any more."""
        try:
            found = json.loads(self.note.read_text(encoding="utf-8"))
            held = Fetched(**{**found, "shards": tuple(found["shards"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return held if all(Path(held.folder, name).is_file() for name in held.shards) else None

    def _here(self) -> Fetched:
        held = self.held()
        if held is None:
            raise self._missing("not on this machine yet")
        return held

    def _inner(self) -> parquet.ParquetImages:
        held = self._here()
        own = {name: value for name, value in self.options.items() if name in parquet.OPTIONS}
        return parquet.build(held.folder, own, held.shards)

    def items(self) -> Iterator[ItemRef]:
        return self._inner().items()

    def open(self) -> AbstractContextManager[Reader]:
        return self._inner().open()

    def what_else(self) -> str:
        return self._inner().what_else()

    def is_here(self) -> bool:
        return self.held() is not None

    def stamp(self) -> Stamp:
        """By the commit that the revision names now; a commit names itself, and nobody is asked.

        Raises UnreachableError where the hub does not answer, MissingFilesError where it has no such revision.
        """
        return Stamp(digest=self.revision if self._is_pinned() else self._commit_now(GLANCE_S))

    def stamp_here(self) -> str:
        return self._here().commit

    def _is_pinned(self) -> bool:
        return COMMIT.fullmatch(self.revision) is not None

    def fetch(self, progress: Progress) -> None:
        held = self.held()
        if held is not None and self._is_pinned():
            return
        try:
            commit = self.revision if self._is_pinned() else self._commit_now(HUB_TIMEOUT_S)
        except MissingFilesError as error:
            if held is None:
                raise
            progress.say(f"{self.location}: commit {held.commit[:8]}, which is here, is used ({error.reason}).")
            return
        if held is None or held.commit != commit:
            self._fetch(commit, progress, held)

    def _fetch(self, commit: str, progress: Progress, held: Fetched | None) -> None:
        """held: what is here, of another commit; its shards were checked when they came."""
        self._check_network()
        try:
            sizes, card = self._listing(commit)
            found = shards_of_card(self.repo, list(sizes), card, self.options.get("config"), self.options.get("split"))
            total = sum(sizes[name] for name in found.files)
            progress.say(
                f"Fetching {self.repo} at {commit[:8]}: {len(found.files)} shards ({total / 1e6:,.1f} MB) "
                f"of {', '.join([self.options['split']] if 'split' in self.options else found.splits)}"
            )
            progress.start("download", total)
            done, folder = 0, Path()
            checked = set() if held is None else {Path(held.folder, name).resolve() for name in held.shards}
            for name in found.files:
                path = self._shard(name, commit)
                if path.resolve() not in checked:
                    self._check_stated(name, path)
                folder = path.parents[name.count("/")]
                done += sizes[name]
                progress.update(done=done)
        except failures_of_a_download() as error:
            raise self._missing(self._in_words(error)) from error
        held = Fetched(repo=self.repo, asked=self.revision, commit=commit, folder=str(folder), shards=found.files)
        write_json(self.note, asdict(held))

    def _listing(self, commit: str) -> tuple[dict[str, int], Mapping[str, object]]:
        """Files with their sizes in bytes, and the card's data."""
        from huggingface_hub.hf_api import RepoFile

        api = _api()
        entries = api.list_repo_tree(self.repo, revision=commit, repo_type="dataset", recursive=True)
        sizes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
        card = api.dataset_info(self.repo, revision=commit, timeout=HUB_TIMEOUT_S).card_data
        # `configs` is not among the fields that the library names, so it lies beside them.
        return sizes, {} if card is None else {"configs": vars(card).get("configs")}

    def _shard(self, name: str, commit: str) -> Path:
        from huggingface_hub import hf_hub_download

        with one_download():
            return Path(
                hf_hub_download(
                    self.repo,
                    name,
                    repo_type="dataset",
                    revision=commit,
                    cache_dir=hub_cache(),
                    endpoint=_endpoint(),
                    etag_timeout=HUB_TIMEOUT_S,
                )
            )

    def _check_stated(self, name: str, path: Path) -> None:
        """The hub's library compares sizes only; a large file's name in its cache is the digest that the hub stated.

        Raises WrongChecksumError, the file then removed.
        """
        stated = stated_digest(path)
        if stated is None:
            return
        digest = digest_of_file(path)
        if digest != stated:
            remove_cached(path)
            raise WrongChecksumError(
                f"What {_endpoint()} sent as {name} of {self.repo} is not what the hub states that it has, and was "
                f"removed: sha256 {digest}, expected {stated}. Fetch it again: `semsim datasets fetch "
                f"'huggingface:{self.location}'`."
            )

    def _commit_now(self, timeout: float) -> str:
        """The commit that the revision names. Raises UnreachableError, MissingFilesError."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        self._check_network()
        try:
            sha = _api().dataset_info(self.repo, revision=self.revision, timeout=timeout, expand=["sha"]).sha
        except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise self._missing(self._in_words(error)) from error
        except failures_of_a_download() as error:
            raise UnreachableError(f"{_endpoint()} does not answer for {self.repo}: {first_line(error)}.") from error
        if sha is None:
            raise UnreachableError(f"{_endpoint()} names no commit for {self.location}.")
        return sha

    def _check_network(self) -> None:
        """Raises UnreachableError where nobody can be asked."""
        if setting := forbidding():
            raise self._missing(f"{setting} is set", UnreachableError)
        if reason := unreachable(_endpoint()):
            raise self._missing(reason, UnreachableError)

    def _in_words(self, error: Exception) -> str:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        if isinstance(error, GatedRepoError):
            return f"access to {self.repo} must be granted on its page first, then set HF_TOKEN"
        if isinstance(error, RepositoryNotFoundError):
            return f"the hub has no data set {self.repo}, or it is private and HF_TOKEN does not open it"
        if isinstance(error, RevisionNotFoundError):
            return f"{self.repo} has no revision {self.revision!r}"
        return first_line(error)

    def _missing(self, reason: str, kind: type[MissingFilesError] = MissingFilesError) -> MissingFilesError:
        return kind(
            f"huggingface:{self.location} is missing ({reason}). Fetch it with `semsim datasets fetch "
            f"'huggingface:{self.location}'` on a machine with a network, {copied_folder(self.repo, 'datasets')} and "
            f"its note to {self.note}, or name a copy of its Parquet files by their folder.",
            reason=reason,
        )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint())


def build(location: str, options: Mapping[str, str]) -> HubDataset:
    """The source behind OWNER/NAME[@REVISION]; asks no network. Raises WrongCallError."""
    check_options("huggingface", options, OPTIONS)
    place = PLACE.fullmatch(location)
    if place is None:
        raise WrongCallError(
            f"{location!r} is no data set of the hub: write huggingface:OWNER/NAME, or …/NAME@REVISION."
        )
    return HubDataset(
        location=location, repo=place["repo"], revision=place["revision"] or "main", options=dict(options)
    )


SOURCES.add(
    "huggingface",
    SourceKind(
        name="huggingface",
        summary="an image data set of the Hugging Face hub in Parquet, at a branch, tag or commit",
        example="semsim compare 'huggingface:OWNER/NAME@main[split=train,label=cat]' photos/",
        licence="its publisher's",
        build=build,
        remote=True,
        options=OPTIONS,
    ),
)
