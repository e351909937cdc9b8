"""Libraries that an encoder needs and that may not be there: a name for what to install, not a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from semsim_pipeline.errors import MissingLibraryError

EXTRAS = {"torch_fidelity": "fid", "torch-fidelity": "fid"}
"""Libraries, as they are imported and as they are distributed, that only an extra of this package brings."""


@contextmanager
def library_of(name: str) -> Iterator[None]:
    """A block that imports what an encoder needs: a library that is not there becomes a MissingLibraryError."""
    try:
        yield
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        if extra := EXTRAS.get(library):
            raise MissingLibraryError(
                f"Encoder {name!r} needs {library}, which an extra brings: pip install 'semsim-pipeline[{extra}]'"
            ) from error
        raise MissingLibraryError(
            f"Encoder {name!r} needs {library}, which is not installed here or is broken ({error}). Install it beside "
            "semsim (`pip install semsim-pipeline` brings what the packaged encoders need), or use another encoder."
        ) from error
