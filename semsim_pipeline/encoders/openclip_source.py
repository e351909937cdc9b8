"""open_clip's own files, run one by one: its tables without torch, its image towers without torchvision and timm.

`import open_clip` costs 5 s and 225 MiB before anything is done, nearly all of it for what this package never calls
(tokenizers, training transforms, timm's registry, and torchvision, which brings sympy and torch's compiler). The files
that matter need far less. They are executed here as the import system would, with one difference: a library outside
`ALLOWED` looks as if it were not installed, a case that open_clip provides for. Where a release does not bear this,
the ordinary import answers instead, so that only time and memory are lost. Tests hold both to the same answers.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from semsim_pipeline.errors import WrongCallError

PACKAGE = "open_clip"
ALLOWED = frozenset({*sys.stdlib_module_names, "numpy"})
UNUSED = frozenset({"tqdm", "torchvision"})
"""Imported without a guard by the files below, and used by none of the functions that are called here."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """open_clip's record of published weights: by (architecture, tag), empty where unknown; tags by architecture."""

    record: Callable[[str, str], Mapping[str, Any]]
    tags: Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Towers:
    """open_clip's description of an image tower, and its private constructor: (embed_dim, config, quick_gelu)."""

    config: Callable[..., Any]
    build: Callable[[int, Any, bool], Any]


def package_folder() -> Path:
    """Where open_clip is installed. Raises WrongCallError where it is not."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WrongCallError("open_clip is not installed; `pip install open-clip-torch` brings the CLIP encoders.")
    return Path(spec.origin).parent


def tables() -> Tables:
    """The tables of published weights, without importing torch."""
    module = _light("pretrained", _tables_of) or importlib.import_module(f"{PACKAGE}.pretrained")
    return _tables_of(module)


def towers(*, timm: bool) -> Towers:
    """The constructor of image towers. timm: whether the architecture is one of timm's, which needs the whole package.

    Imports torch.
    """
    light = None if timm else _light("model", _towers_of, torch=True)
    return _towers_of(light or importlib.import_module(f"{PACKAGE}.model"))


def _tables_of(module: ModuleType) -> Tables:
    return Tables(record=module.get_pretrained_cfg, tags=module.list_pretrained_tags_by_model)


def _towers_of(module: ModuleType) -> Towers:
    return Towers(config=module.CLIPVisionCfg, build=module._build_vision_tower)


def _light(stem: str, check: Callable[[ModuleType], object], *, torch: bool = False) -> ModuleType | None:
    """The file executed alone; None where the package is imported already (then it is free) or does not bear it."""
    if PACKAGE in sys.modules:
        return None
    try:
        module = _files(torch).load(stem)
        check(module)
    except Exception as error:  # noqa: BLE001 - whatever another release does, the ordinary import is asked next
        logger.info("open_clip's %s.py is imported whole: %r", stem, error)
        return None
    return module


_made: dict[bool, Files] = {}


def _files(torch: bool) -> Files:
    if torch not in _made:
        alias, more = ("_semsim_open_clip_torch", {"torch"}) if torch else ("_semsim_open_clip", set[str]())
        _made[torch] = Files(package_folder(), alias, ALLOWED | more)
    return _made[torch]


class Files:
    """Modules of one package, executed without its `__init__`, each once and under the private name `alias.stem`.

    allowed: top-level modules that these files may import; others raise ImportError there, those of `UNUSED` are
    empty. A user's own `import open_clip`, before or after, is not affected.
    """

    def __init__(self, folder: Path, alias: str, allowed: frozenset[str]) -> None:
        self._folder = folder
        self._alias = alias
        self._allowed = allowed
        self._modules: dict[str, ModuleType] = {}
        self._lock = threading.RLock()
        # A module's builtins are looked up in its own globals: the import statements of these files alone change.
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, stem: str) -> ModuleType:
        """The module of `stem`.py. Raises whatever executing it raises."""
        with self._lock:
            if stem not in self._modules:
                file = self._folder / f"{stem}.py"
                module = ModuleType(f"{self._alias}.{stem}")
                module.__dict__.update(__file__=str(file), __package__=self._alias, __builtins__=self._builtins)
                code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
                # Dataclasses look their module up there.
                self._modules[stem] = sys.modules[module.__name__] = module
                try:
                    exec(code, module.__dict__)  # noqa: S102 - the installed library's file, as importing it would
                except BaseException:
                    del self._modules[stem], sys.modules[module.__name__]
                    raise
            return self._modules[stem]

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the signature of `__import__`
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 1 and name and "." not in name:
            return self.load(name)
        top = name.partition(".")[0]
        if level == 0 and top in self._allowed:
            return builtins.__import__(name, globals, locals, fromlist or (), 0)
        if level == 0 and top in UNUSED:
            empty = ModuleType(name)
            for each in fromlist or ():
                setattr(empty, each, None)
            return empty
        raise ImportError(f"{'.' * level}{name} is left out here")
