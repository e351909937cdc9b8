"""A network that a repository on the hub describes itself, in open_clip's `open_clip_config.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semsim_pipeline import hub
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError, WrongCallError

CONFIG_NAME = "open_clip_config.json"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
TIMM_NAME = re.compile(r"[A-Za-z0-9_.]+")


def described(name: str, repo: str, revision: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a repository says of its network, and of how images are prepared for it (third-party JSON, hence untyped).

    Only what the image tower needs is kept. Raises WrongCallError (no OWNER/NAME); MissingWeightsError (not here, and
    the hub cannot be asked or has none); UnusableWeightsError (not a description that open_clip's image towers fit).
    """
    if not REPOSITORY.fullmatch(repo):
        raise WrongCallError(
            f"Cannot read encoder {name!r}: behind hf-hub: comes a repository, such as "
            "'open_clip:hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K'."
        )
    path = hub.cached_file(repo, CONFIG_NAME, revision) or _fetched(name, repo, revision)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content.get("model_cfg", content)
        vision = model["vision_cfg"]
        kept = {
            "embed_dim": int(model["embed_dim"]),
            "quick_gelu": bool(model.get("quick_gelu", False)),
            "vision_cfg": dict(vision),
        }
        preprocessing = {key: value for key, value in content.get("preprocess_cfg", {}).items() if key in PREPROCESSING}
        timm_name = vision.get("timm_model_name", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableWeightsError(f"{CONFIG_NAME} of {repo} describes no network of open_clip: {error!r}.") from error
    if timm_name and not TIMM_NAME.fullmatch(timm_name):
        # timm would take `hf-hub:…` and `local-dir:…` for other places to load from.
        raise UnusableWeightsError(f"{CONFIG_NAME} of {repo} names no model of timm: {timm_name!r}.")
    return kept, preprocessing


def _fetched(name: str, repo: str, revision: str) -> Path:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def missing(reason: str) -> MissingWeightsError:
        return MissingWeightsError(
            f"The description of {name!r} is missing ({reason}): {CONFIG_NAME} of {repo} on Hugging Face. Fetch it "
            f"with `semsim encoders fetch {name}` on a machine with a network and {hub.copied_folder(repo)}."
        )

    if reason := hub.why_not_asked(hub.endpoint()):
        raise missing(reason)
    try:
        return hub.download(repo, CONFIG_NAME, revision)
    except LocalEntryNotFoundError as error:
        raise missing(hub.refusal(error, repo, revision)) from error
    except EntryNotFoundError as error:
        raise missing(f"the repository has no {CONFIG_NAME}, so it is none of open_clip's") from error
    except hub.failures_of_a_download() as error:
        raise missing(hub.refusal(error, repo, revision)) from error
