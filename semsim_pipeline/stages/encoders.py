"""Whether an encoder is still the one that a dataset was embedded with: new weights, another background."""

from __future__ import annotations

from semsim_pipeline.comparison.backgrounds import known_background
from semsim_pipeline.extract.plan import embedding_key
from semsim_pipeline.stages.workspace import Workspace

Identity = tuple[str, str | None]
"""The digest of an encoder's set (weights, preprocessing, decoder); its background's id, None before it is measured."""


class Encoders:
    """The catalogue's encoders as they are now, each looked up once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, Identity] = {}

    def identity(self, alias: str) -> Identity:
        """Of an alias. A checkpoint whose stamp is known is not read. Raises UnknownNameError, MissingWeightsError."""
        if alias not in self._known:
            encoder = self._workspace.encoder(alias)
            background = known_background(encoder.fingerprint(), self._workspace.home)
            self._known[alias] = embedding_key(encoder).digest, None if background is None else background.id
        return self._known[alias]
