from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsim_pipeline.metrics.similarity import Ceiling, Similarity, SimilarityStatus
from semsim_pipeline.metrics.verdict import (
    BANDS,
    Verdict,
    band_of,
    images_needed,
    uncalibrated_verdict,
    verdict_of,
)
from semsim_pipeline.records import Background

NOTHING = Ceiling(value=None, interval=None)
FLOOR = 0.3
MIXED, APART = (1.0, 1.0), (0.4, 1.0)


def headline(
    u: float,
    width: float = 0.001,
    *,
    floor: float | None = FLOOR,
    p_value: float = 0.5,
    status: SimilarityStatus = "ok",
    reason: str | None = None,
    n: int = 100,
) -> Similarity:
    """A headline at u with an interval of u ± width, both on the scale from the floor (0) to 1."""
    base = 0.0 if floor is None else floor
    raw, half = base + u * (1 - base), width * (1 - base)
    return Similarity(
        value=None if status == "unreliable" else min(1.0, max(0.0, raw)),
        raw=raw, interval=(raw - half, raw + half), cauchy_schwarz=raw, cauchy_schwarz_interval=(raw, raw), floor=floor,
        ceiling_reference=NOTHING, ceiling_candidate=NOTHING, p_value=p_value, permutations=99, status=status,
        reason=reason, overlap=0, units=(n, n), k_ab=0.1, k_aa=0.1, k_bb=0.1,
        background=Background(id="x", bandwidth=1.0, source="panel", kappa=0.1),
    )  # fmt: skip


def verdict(found: Similarity, mixing: tuple[float, float] | None = MIXED, c2st_auc: float | None = 0.5) -> Verdict:
    return verdict_of(found, mixing=mixing, c2st_auc=c2st_auc)


@pytest.mark.parametrize(
    ("u", "said"),
    [
        (1.02, "indistinguishable"), (0.9820, "indistinguishable"), (0.9780, "very similar"), (0.852, "very similar"),
        (0.848, "related"), (0.502, "related"), (0.498, "different"), (0.152, "different"), (0.148, "unrelated"),
        (0.0, "unrelated"), (-0.5, "unrelated"),
    ],
)  # fmt: skip
def test_the_bands(u: float, said: str) -> None:
    found = verdict(headline(u))
    assert (found.text, found.reason, found.images_needed) == (said, None, None)


def test_a_band_holds_its_lower_bound() -> None:
    for index, (least, _) in enumerate(BANDS[:-1]):
        assert band_of(least) == index
        assert band_of(math.nextafter(least, -1)) == index + 1
    assert band_of(-1e9) == len(BANDS) - 1


def test_an_interval_over_two_bands_still_has_a_verdict() -> None:
    assert verdict(headline(0.6, 0.2)).text == "related"  # 0.4 … 0.8


def test_an_interval_over_three_bands_is_unresolved_and_says_how_many_images_would_do() -> None:
    found = verdict(headline(0.6, 0.3))  # 0.3 … 0.9: different, related, very similar
    assert found.text == "unresolved at this n"
    assert found.reason == "the interval reaches from 'different' to 'very similar'"
    # Two bands may stay: the second nearest edge, 0.85, is 0.25 away: (0.3 / 0.25)² times the smaller side's 100.
    assert found.images_needed == 150


def test_images_needed_grows_with_the_square_and_has_two_figures() -> None:
    assert verdict(headline(0.55, 0.4, n=73)).images_needed == math.ceil(73 * (0.4 / 0.3) ** 2 / 10) * 10
    assert verdict(headline(0.5, 0.4)).images_needed == 140  # on an edge: 0.85 and 0.15 are 0.35 away
    assert verdict(headline(0.9801, 0.4)).images_needed is None  # barely inside the best band: ten million and more


def test_indistinguishable_asks_for_the_intervals_lower_end() -> None:
    assert verdict(headline(0.99, 0.009)).text == "indistinguishable"
    found = verdict(headline(0.99, 0.02))
    assert found.text == "unresolved at this n"
    assert found.reason is not None
    assert "at least very similar" in found.reason
    assert "it is 0.970" in found.reason
    assert found.images_needed == 400  # (0.02 / 0.01)² · 100


def test_an_excess_over_one_is_noise_and_does_not_lower_the_images_needed() -> None:
    assert verdict(headline(1.10, 0.2)).images_needed == verdict(headline(1.0, 0.2)).images_needed


def test_sets_that_do_not_mix_are_related_at_best() -> None:
    for u in (0.995, 0.9):
        found = verdict(headline(u), APART)
        assert found.text == "related"
        assert found.reason is not None
        assert "hardly mix" in found.reason
    assert verdict(headline(0.3), APART) == Verdict(text="different")
    assert verdict(headline(0.9), (1.0, 0.4)).text == "related"  # either side counts
    assert verdict(headline(0.9), (0.5, 0.5)).text == "very similar"  # the bound itself mixes
    assert verdict(headline(0.9), None).text == "very similar"  # not computed: nothing is known against it


def test_a_floor_near_one_leaves_no_room() -> None:
    found = verdict(headline(0.9, floor=0.8))
    assert found.text == "too diverse for one number"
    assert found.reason is not None
    assert "0.80" in found.reason
    assert verdict(headline(0.9, floor=0.75)).text == "very similar"


def test_a_narrow_domain_that_a_classifier_tells_apart() -> None:
    assert verdict(headline(0.9, floor=0.05), c2st_auc=0.95).text == "narrow domain: calibrate with a panel of it"
    for floor, auc in ((0.05, 0.9), (0.05, None), (0.1, 0.95)):
        assert verdict(headline(0.9, floor=floor), c2st_auc=auc).text == "very similar"


def test_without_a_floor_there_is_a_test_and_no_band() -> None:
    apart = verdict(headline(0.9, floor=None, p_value=0.05, status="uncalibrated"))
    assert apart.text == "distinguishable"
    assert "p = 0.05" in str(apart.reason)
    same = verdict(headline(0.9, floor=None, p_value=0.051, status="uncalibrated"))
    assert same.text == "not distinguishable"
    assert "no proof of equality" in str(same.reason)


def test_unreliable_passes_its_reason_on() -> None:
    found = verdict(headline(0.9, status="unreliable", reason="needs at least 20"), APART)
    assert found == Verdict(text="unreliable", reason="needs at least 20")


@given(st.integers(2, 10**5), st.integers(2, 10**5), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_images_needed_moves_the_right_way(n: int, m: int, half: float, margin: float) -> None:
    now = images_needed((n, m), half, margin)
    assert now == images_needed((m, n), half, margin)
    if now is None:
        return
    wider, nearer, more = images_needed((n, m), 1.5 * half, margin), images_needed((n, m), half, margin / 1.5), None
    assert wider is None or wider >= now
    assert nearer is None or nearer >= now
    more = images_needed((2 * n, 2 * m), half / math.sqrt(2), margin)  # what the larger sets would have said
    assert more == pytest.approx(now, rel=0.11)  # two figures


def test_the_smaller_side_decides_and_a_larger_one_cannot_make_up_for_it() -> None:
    assert images_needed((100, 100), 0.02, 0.01) == 400
    assert images_needed((100, 10**7), 0.02, 0.01) == 800  # all the noise is the hundred's, and there are two sides
    assert images_needed((100, 100), 0.02, 0.0) is None
    assert images_needed((100, 100), math.inf, 0.1) is None


def test_an_edge_that_no_number_of_images_settles_is_said() -> None:
    found = verdict(headline(0.98, 0.02))
    assert (found.text, found.images_needed) == ("unresolved at this n", None)
    assert "edge of a band" in str(found.reason)


def test_without_a_background_the_adjusted_p_value_decides() -> None:
    assert uncalibrated_verdict(0.04).text == "distinguishable"
    among = uncalibrated_verdict(0.08, 45)
    assert among.text == "not distinguishable"
    assert "adjusted over 45 tests" in str(among.reason)
