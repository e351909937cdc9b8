"""Two encoders on the same images: how far they agree, beside what each says of the pair of datasets."""

from __future__ import annotations

from dataclasses import dataclass

from semsim_pipeline.comparison.classes_json import Json
from semsim_pipeline.metrics.agreement import Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class SideAgreement:
    """One side's images under both encoders. found is None exactly where there is a reason. of: images that both
    embedded; `found.images` may be a sample of them."""

    found: Agreement | None
    of: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderPair:
    """This comparison's encoder and another one. meaning: one sentence of what was measured."""

    other: str
    reference: SideAgreement
    candidate: SideAgreement
    meaning: str


def pair_json(pair: EncoderPair) -> Json:
    """Plain values."""
    return {
        "encoder": pair.other,
        "reference": _side(pair.reference),
        "candidate": _side(pair.candidate),
        "meaning": pair.meaning,
    }


def _side(side: SideAgreement) -> Json:
    found = side.found
    if found is None:
        return {"status": "not_computed", "reason": side.reason}
    return {
        "status": "ok",
        "linear_cka": found.linear_cka,
        "mutual_knn": found.mutual_knn,
        "mutual_knn_null": found.mutual_knn_null,
        "cknna": found.cknna,
        "k": found.k,
        "images": found.images,
        "of": side.of,
    }
