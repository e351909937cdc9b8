"""Which Parquet files of a hub's repository are a configuration's split: by its card, else by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from semsim_pipeline.errors import MissingFilesError, UnknownNameError, WrongCallError, did_you_mean

DEFAULT = "default"
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The hub's own words for splits in names, by its documentation of data sets without a configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """files: in the order of their splits, then of their names. splits: of all that the configuration has."""

    files: tuple[str, ...]
    splits: tuple[str, ...]


def shards_of_card(
    repo: str, files: Sequence[str], card: Mapping[str, object], config: str | None, split: str | None
) -> Shards:
    """The Parquet files meant. card: the data of the repository's card, whose `configs` win over names.

    Raises MissingFilesError: no Parquet file. WrongCallError, UnknownNameError: several configurations and none named,
    or a name that it does not have.
    """
    tables = sorted(name for name in files if name.endswith(".parquet"))
    if not tables:
        shown = ", ".join(sorted(files)[:5]) or "nothing"
        raise MissingFilesError(
            f"{repo} has no Parquet file at this revision (it has {shown}). The hub converts many data sets: try "
            f"'huggingface:{repo}@refs/convert/parquet'."
        )
    by_config = _of_card(tables, card) or _of_names(tables)
    chosen = by_config[_chosen(repo, list(by_config), config)]
    if split is not None and split not in chosen:
        raise UnknownNameError(did_you_mean(f"split of {repo}", split, chosen))
    wanted = [split] if split is not None else list(chosen)
    return Shards(files=tuple(dict.fromkeys(name for each in wanted for name in chosen[each])), splits=tuple(chosen))


def _chosen(repo: str, known: list[str], config: str | None) -> str:
    if config is not None:
        if config not in known:
            raise UnknownNameError(did_you_mean(f"configuration of {repo}", config, known))
        return config
    if len(known) == 1:
        return known[0]
    if DEFAULT in known:
        return DEFAULT
    raise WrongCallError(
        f"{repo} has {len(known)} configurations: {', '.join(known[:12])}. Choose one: "
        f"'huggingface:{repo}[config={known[0]}]'."
    )


Configs = dict[str, dict[str, list[str]]]
"""Configuration to split to files."""


def _of_card(tables: Sequence[str], card: Mapping[str, object]) -> Configs:
    """What the card says; empty where it says nothing of Parquet files."""
    found: Configs = {}
    configs = card.get("configs")
    for entry in configs if isinstance(configs, list) else []:
        if not isinstance(entry, Mapping):
            continue
        splits: dict[str, list[str]] = {}
        for split, patterns in _data_files(entry.get("data_files")):
            names = [name for name in tables if any(_matches(name, pattern) for pattern in patterns)]
            if names:
                splits[split] = names
        if splits:
            found[str(entry.get("config_name", DEFAULT))] = splits
    return found


def _data_files(value: object) -> Iterable[tuple[str, list[str]]]:
    """(split, patterns) of a card's `data_files`: a text, texts, or entries with `split` and `path`."""
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, str):
            yield "train", [entry]
        elif isinstance(entry, Mapping):
            paths = entry.get("path")
            yield (
                str(entry.get("split", "train")),
                [str(each) for each in (paths if isinstance(paths, list) else [paths])],
            )


def _matches(name: str, pattern: str) -> bool:
    """As the hub's globs, of which `**/` also stands for no folder."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, pattern.replace("**/", ""))


def _of_names(tables: Sequence[str]) -> Configs:
    found: Configs = {}
    for name in tables:
        config = name.split("/", 1)[0] if "/" in name else ""
        if config == "data" or _split_in(config) is not None or not config:
            config = DEFAULT
        split = next((s for part in reversed(name.split("/")) if (s := _split_in(part)) is not None), "train")
        found.setdefault(config, {}).setdefault(split, []).append(name)
    order = list(SPLIT_WORDS)
    return {
        config: dict(sorted(splits.items(), key=lambda each: order.index(each[0]))) for config, splits in found.items()
    }


def _split_in(part: str) -> str | None:
    """The split that a part of a path names.

    >>> _split_in("train-00000-of-00002.parquet"), _split_in("my_val"), _split_in("trainer.parquet")
    ('train', 'validation', None)
    """
    words = re.split(r"[^a-zA-Z]+", part.lower())
    return next((split for split, names in SPLIT_WORDS.items() if any(name in words for name in names)), None)
