"""A family of tests: the p-values of everything that one question compares, adjusted for there being many.

A pair's stored score knows nothing of its neighbours, so that it need not be computed again when they change; the
adjustment is made from the stored p-values wherever scores are shown together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from semsim_pipeline.comparison.results import AdjustedP, Comparison
from semsim_pipeline.metrics.multiplicity import benjamini_hochberg, holm
from semsim_pipeline.metrics.verdict import uncalibrated_verdict


def as_family(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with their p-values adjusted over all of them that have one, in the order given.

    Without a background the p-value is the verdict; among several tests the adjusted one decides it.
    """
    tested = [each.similarity.p_value for each in comparisons if each.similarity is not None]
    adjusted = iter(zip(benjamini_hochberg(tested), holm(tested), strict=True))
    out = []
    for each in comparisons:
        if each.similarity is None:
            out.append(each)
            continue
        false_discovery, family_wise = next(adjusted)
        found = AdjustedP(benjamini_hochberg=false_discovery, holm=family_wise, tests=len(tested))
        verdict = each.verdict
        if each.similarity.status == "uncalibrated":
            verdict = uncalibrated_verdict(found.benjamini_hochberg, found.tests)
        out.append(replace(each, adjusted_p=found, verdict=verdict))
    return out
