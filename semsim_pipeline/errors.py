"""The exception tree. Every message says what was asked, what was found, what is allowed, and what to do next.

Two branches, because a shell tells them apart by exit code: `WrongCallError` (2, the request cannot be right as
written) and `WorkError` (1, the request was fine and the work could not be done).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from semsim_pipeline.addresses import without_secrets

MOST_NAMES_SHOWN = 12


class SemsimError(Exception):
    """Anything that this package raises on purpose; its text is one clear line for a person.

    Addresses lose their query and password here, so that no message has to think of it.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(arg) if isinstance(arg, str) else arg for arg in args))


class WrongCallError(SemsimError):
    """The request cannot be right as written: an unknown name, a missing path, an impossible option."""

    exit_code = 2


class UnknownNameError(WrongCallError):
    """A name that no registry, catalogue or view knows."""


class ViewSyntaxError(WrongCallError):
    """A view such as `photos[label=cat]` that cannot be read."""


class CatalogError(WrongCallError):
    """A catalogue that cannot be right as written; one line a problem, each with the file and the line."""


class MissingPathError(WrongCallError):
    """A path that does not exist."""


class WorkError(SemsimError):
    """The request was understood; the work could not be done."""


class EmptyDatasetError(WorkError):
    """A dataset or view without a single usable image."""


class UnreadableImageError(WorkError):
    """One image that cannot be decoded; extraction turns it into a row with `status = failed`, never into a stop."""


class CorruptSourceError(WorkError):
    """An archive or table that cannot be opened or ends half-way."""


class MissingFilesError(WorkError):
    """A source whose files are not on this machine, and could not be fetched or were not asked for yet.

    reason: why, in a clause, for whoever goes on without them; the text without its full stop where none is given.
    """

    def __init__(self, text: str, *, reason: str = "") -> None:
        super().__init__(text)
        self.reason = without_secrets(reason) or str(self).rstrip(".")


class UnreachableError(MissingFilesError):
    """A server that gives no answer at present; what was fetched from it before is as good as it was."""


class WrongChecksumError(WorkError):
    """A fetched file that is not the published one; it was removed."""


class MissingWeightsError(WorkError):
    """An encoder whose weights are not on this machine and could not be fetched."""


class MissingLibraryError(WorkError):
    """An encoder whose library is not installed (any more)."""


class UnusableWeightsError(WorkError):
    """A checkpoint that is cut short, that would run code when opened, or that belongs to another architecture."""


class InvalidEmbeddingsError(WorkError):
    """Embeddings with NaN or infinity, no rows, a wrong shape or dtype."""


class DimensionMismatchError(InvalidEmbeddingsError):
    """Two sides whose rows have different widths."""


class TooFewSamplesError(WorkError):
    """Fewer rows than a metric needs; a score card turns it into a row `not_computed` with this text as reason."""


class UndefinedMetricError(WorkError):
    """A metric that has no value on these rows (such as a ratio over zero); becomes a `not_computed` row."""


class StoreError(WorkError):
    """The store under SEMSIM_HOME cannot be read or written, or does not match what it says of itself."""


def did_you_mean(kind: str, asked: str, known: Iterable[str]) -> str:
    """One line for an unknown name: what was asked, the nearest known name, and what there is.

    >>> did_you_mean("encoder", "clasical", ["classical", "clip-vit-b-32"])
    "Unknown encoder 'clasical'. Did you mean 'classical'? Known: classical, clip-vit-b-32."
    """
    names = sorted(known)
    near = difflib.get_close_matches(asked, names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:MOST_NAMES_SHOWN])
    more = f" and {len(names) - MOST_NAMES_SHOWN} more" if len(names) > MOST_NAMES_SHOWN else ""
    return f"Unknown {kind} {asked!r}.{guess} Known: {shown or 'none'}{more}."
