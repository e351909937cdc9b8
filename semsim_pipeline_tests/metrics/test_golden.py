"""Every metric against the values that peers and closed forms gave for the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.cmmd import cmmd
from semsim_pipeline.metrics.energy_distance import energy_distance
from semsim_pipeline.metrics.frechet import frechet_parts
from semsim_pipeline.metrics.kid import kid
from semsim_pipeline.metrics.kid_subsets import subset_kids
from semsim_pipeline.metrics.neighbors import nearest_squares
from semsim_pipeline.metrics.prdc import coverage_null, improved_precision_recall, precision_recall_density_coverage
from semsim_pipeline.metrics.proximity import knn_mixing
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.shape import covariance_overlap, effective_rank_ratio
from semsim_pipeline.metrics.similarity import similarity_of
from semsim_pipeline.metrics.sliced_wasserstein import sliced_wasserstein
from semsim_pipeline.metrics.vendi import vendi
from semsim_pipeline.records import Background
from semsim_pipeline_tests.golden import CASES, IDENTITY, GoldenEntry, entries, inputs


def sides(case: str, *, first: bool = False) -> tuple[EmbeddedSet, EmbeddedSet]:
    a, b = inputs(case)
    n = min(len(a), len(b)) if first else None
    return EmbeddedSet("A", a[:n]), EmbeddedSet("B", b[:n])


def close(entry: GoldenEntry, part: str = "value") -> object:
    return pytest.approx(entry.value[part], rel=entry.rel, abs=entry.abs)


@pytest.mark.parametrize("case", [c for c in CASES if c != "rankdef"])
def test_frechet_distance_and_parts(case: str) -> None:
    found = frechet_parts(*sides(case))
    parts = entries(case, "frechet_parts")[0]
    assert found.mean_term == close(parts, "mean_term")
    assert found.trace_root == close(parts, "tr_sqrt")
    assert found.total == close(parts, "total")
    for entry in entries(case, "frechet"):
        if "Newton" not in entry.by and "piq" not in entry.by:
            assert found.total == close(entry), entry.by


def test_frechet_of_rank_deficient_sides_is_exact_where_sqrtm_is_off() -> None:
    found = frechet_parts(*sides("rankdef"))
    exact = entries("rankdef", "frechet_exact")[0]
    assert found.total == close(exact, "total")
    assert found.trace_root == close(exact, "tr_sqrt")


def test_frechet_of_rank_deficient_sides_is_a_number_where_pot_s_is_none() -> None:
    [pot] = [entry for entry in entries("rankdef", "frechet") if entry.by.startswith("POT")]
    # Its root of a singular product takes the root of an eigenvalue that rounding made negative.
    assert math.isnan(pot.value["value"])
    found = frechet_parts(*sides("rankdef"))
    assert all(map(math.isfinite, (found.total, found.mean_term, found.trace_root)))
    assert found.total == close(entries("rankdef", "frechet_exact")[0], "total")


@pytest.mark.parametrize("case", CASES)
def test_frechet_is_not_what_newton_and_schulz_stop_at(case: str) -> None:
    [piq] = [entry for entry in entries(case, "frechet") if "Newton" in entry.by]
    assert piq.value["value"] - frechet_parts(*sides(case)).total > 1e-6


@pytest.mark.parametrize("case", CASES)
def test_frechet_uses_ddof_1(case: str) -> None:
    assert abs(frechet_parts(*sides(case)).total - entries(case, "frechet_ddof0")[0].value["value"]) > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_kid_on_all_rows_and_on_equal_sizes(case: str) -> None:
    assert kid(*sides(case)) == close(entries(case, "kid_full_unbiased")[0])
    for entry in entries(case, "kid_unbiased_first_n"):
        assert kid(*sides(case, first=True)) == close(entry), entry.by


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_prdc_both_ways_round(case: str, dtype: str) -> None:
    a, b = (EmbeddedSet(s.name, s.rows.astype(dtype)) for s in sides(case))
    for entry in entries(case, "prdc"):
        reference, candidate = (a, b) if entry.args["real"] == "A" else (b, a)
        k = entry.args["k"]
        assert isinstance(k, int)
        found = precision_recall_density_coverage(reference, candidate, k=k)
        for name in ("precision", "recall", "density", "coverage"):
            assert getattr(found, name) == close(entry, name), (entry.args, name)


@pytest.mark.parametrize("case", CASES)
def test_improved_precision_recall_of_kynkaanniemi(case: str) -> None:
    precision, recall = improved_precision_recall(*sides(case), k=3)
    entry = next(e for e in entries(case, "precision_recall_k3") if "torch-fidelity" in e.by)
    assert (precision, recall) == (close(entry, "precision"), close(entry, "recall"))


def test_recall_does_not_take_the_reference_s_own_radii_for_a_tie_as_piq_does() -> None:
    a, b = inputs("dups")
    wrong = next(e for e in entries("dups", "precision_recall_k3") if "piq" in e.by)
    across = cdist(a, b)
    radius = {name: np.sort(cdist(side, side), axis=1)[:, 3] for name, side in (("real", a), ("generated", b))}
    within = across <= radius["generated"]
    # Ten rows are on both sides: a reference row lies as far from a copy as from the original, its own third neighbour.
    mistaken = within | np.isclose(across, radius["real"][:, None])
    assert float(mistaken.any(axis=1).mean()) == pytest.approx(wrong.value["recall"], rel=1e-6)
    for found in (improved_precision_recall(*sides("dups"), k=3)[1],
                  precision_recall_density_coverage(*sides("dups"), k=3).recall):  # fmt: skip
        assert found == within.any(axis=1).mean()
        assert wrong.value["recall"] - found == pytest.approx(1 / 300, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_cosines(case: str) -> None:
    entry = entries(case, "cosine")[0]
    card = score_card(Pair(reference=sides(case)[0], candidate=sides(case)[1]), ["cosine"])
    assert card["mean_cosine"].value == close(entry, "cross_mean")
    assert card["mean_cosine"].detail["within_reference"] == close(entry, "within_A_no_self")
    assert card["mean_cosine"].detail["within_candidate"] == close(entry, "within_B_no_self")


@pytest.mark.parametrize("case", CASES)
def test_knn_mixing(case: str) -> None:
    a, b = sides(case)
    n, m = len(a), len(b)
    for entry in entries(case, "knn_same_label"):
        k = entry.args["k"]
        assert isinstance(k, int)
        found = knn_mixing(a, b, k=k)
        null = 1 - entry.value["expected_null"]
        # Ten rows of `dups` are on both sides; the peer gives a place that two twins tie for to one of them.
        ties = 10 / min(n, m) if case == "dups" else 1e-12
        assert found.pooled == pytest.approx((1 - entry.value["all"]) / null, abs=ties)
        assert found.reference == pytest.approx((1 - entry.value["A"]) * (n + m - 1) / m, abs=ties)
        assert found.candidate == pytest.approx((1 - entry.value["B"]) * (n + m - 1) / n, abs=ties)


@pytest.mark.parametrize("case", CASES)
def test_nearest_neighbour_distances(case: str) -> None:
    a, b = sides(case)
    entry = entries(case, "nn_distance")[0]
    for name, (one, other) in {"B_to_A": (b, a), "A_to_B": (a, b)}.items():
        distances = np.sqrt(nearest_squares(one, other))
        assert float(distances.mean()) == close(entry, f"{name}_mean")
        assert float(np.median(distances)) == close(entry, f"{name}_median")


@pytest.mark.parametrize("case", CASES)
def test_c2st_auc(case: str) -> None:
    a, b = sides(case)
    card = score_card(Pair(reference=a, candidate=b), ["c2st"])
    auc = entries(case, "c2st")[0]
    found = card["c2st_auc"].value or 0.0
    if case == "dups":
        # The peer splits the ten shared images over its folds, which pulls the AUC below a half; ours does not.
        assert auc.value["auc"] < found < auc.value["auc"] + 0.1
    else:
        assert found == close(auc, "auc")
    assert card["c2st_similarity"].value == pytest.approx(min(1, 2 * (1 - found)), rel=1e-9)
    assert card["c2st_auc"].detail == {"rows_reference": len(a), "rows_candidate": len(b), "converged": 1.0}


@pytest.mark.parametrize(("case", "defined"), [("shift", True), ("clusters", True), ("null", False)])
def test_relative_cosine_or_the_reason_why_there_is_none(case: str, defined: bool) -> None:
    a, b = sides(case)
    found = score_card(Pair(reference=a, candidate=b), ["relative_cosine"])["relative_cosine"]
    entry = entries(case, "relative_cosine")[0]
    if defined:
        assert found.value == close(entry, "ratio")
    else:
        assert "ratio" not in entry.value
        assert found.status == "not_computed"
        assert "not positive" in (found.reason or "")


@pytest.mark.parametrize("case", CASES)
def test_vendi_of_both_sides(case: str) -> None:
    for side, name in zip(sides(case), ("vendi_A", "vendi_B"), strict=True):
        checked = [e for e in entries(case, name) if e.args.get("q", 1) == 1]
        assert len(checked) == 3
        for entry in checked:
            assert vendi(side) == close(entry), entry.by


@pytest.mark.parametrize("case", CASES)
def test_energy_distance(case: str) -> None:
    found = energy_distance(*sides(case))
    entry = entries(case, "energy")[0]
    assert found.value == close(entry, "V_stat")
    assert found.unbiased == close(entry, "U_stat")
    assert found.cross == close(entry, "mean_cross")


@pytest.mark.parametrize("case", CASES)
def test_sliced_wasserstein_on_the_peer_s_directions(case: str) -> None:
    a, b = sides(case)
    checked = [e for e in entries(case, "sliced_wasserstein") if e.args["p"] == 2]
    assert len(checked) == 2
    for entry in checked:
        # POT draws so: a RandomState's normals [d, L], each column scaled to length 1.
        drawn = np.random.RandomState(0).normal(size=(a.dim, entry.args["n_projections"]))
        onto = (drawn / np.linalg.norm(drawn, axis=0)).T
        assert sliced_wasserstein(a, b, onto=onto)[0] == close(entry)


def test_coverage_null_expectation() -> None:
    for entry in entries("null_expectation", "coverage"):
        n, m, k = (int(str(entry.args[name])) for name in ("N", "M", "k"))
        assert coverage_null(n, m, k) == close(entry)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cmmd_on_unit_rows(case: str, dtype: str) -> None:
    a, b = (EmbeddedSet(s.name, s.rows.astype(dtype)) for s in sides(case))
    entry = entries(case, "cmmd_l2")[0]
    # float32 rows are other rows: each is moved by 3e-8.
    assert cmmd(a, b) == (close(entry) if dtype == "float64" else pytest.approx(entry.value["value"], rel=1e-6))


@pytest.mark.parametrize("case", CASES)
def test_kid_on_the_very_subsets_that_torch_fidelity_drew(case: str) -> None:
    a, b = sides(case)
    entry = next(e for e in entries(case, "kid_subsets") if "torch-fidelity" in e.by)
    size = int(str(entry.args["subset_size"]))
    rng = np.random.RandomState(2020)  # the generator of the peer
    draws = [(rng.choice(len(a), size, replace=False), rng.choice(len(b), size, replace=False)) for _ in range(100)]
    found = subset_kids(a, b, *(np.array(rows) for rows in zip(*draws, strict=True)))
    assert float(found.mean()) == close(entry, "kernel_inception_distance_mean")
    assert float(found.std()) == close(entry, "kernel_inception_distance_std")


@pytest.mark.parametrize("case", CASES)
def test_shape(case: str) -> None:
    a, b = sides(case)
    spread, parts = entries(case, "spread")[0], entries(case, "frechet_parts")[0]
    root = entries(case, "frechet_exact")[0].value["tr_sqrt"] if case == "rankdef" else parts.value["tr_sqrt"]
    expected = root / (spread.value["A_trace"] * spread.value["B_trace"]) ** 0.5
    assert covariance_overlap(a, b) == pytest.approx(expected, rel=spread.rel)
    ranks = spread.value["A_effective_rank"], spread.value["B_effective_rank"]
    assert effective_rank_ratio(a, b) == pytest.approx(ranks[1] / ranks[0], rel=spread.rel)
    assert effective_rank_ratio(b, a) == pytest.approx(ranks[0] / ranks[1], rel=spread.rel)


@pytest.mark.parametrize("case", ["shift", "null", "clusters"])
def test_the_headline_of_stored_kernel_means(case: str) -> None:
    a, b = sides(case)
    checked = entries(case, "cauchy_schwarz_similarity")
    assert [entry.args["s2"] for entry in checked] == [0.5, 1.0]
    for entry in checked:
        background = Background(id="golden", bandwidth=float(str(entry.args["s2"])), kappa=0.01, source="golden")
        found = similarity_of(Pair(reference=a, candidate=b, background=background, permutations=1))
        for name in ("k_ab", "k_aa", "k_bb"):
            assert getattr(found, name) == close(entry, name), (entry.args, name)
        assert found.cauchy_schwarz == close(entry, "similarity")
        stored = entry.value
        within = stored["k_aa"] + stored["k_bb"]
        assert found.raw == pytest.approx(2 * stored["k_ab"] / within, rel=1e-9)
        # The other form of the definition. MMD² cancels to 1e-3 of the means on `null`: absolute.
        assert 1 - found.raw == pytest.approx(stored["mmd2_unbiased"] / within, abs=1e-9)


def test_a_set_against_itself() -> None:
    a, b = sides(IDENTITY)
    parts = frechet_parts(a, b)
    for name, found in {"mean_term": parts.mean_term, "tr_sqrt": parts.trace_root, "total": parts.total}.items():
        assert found == close(entries(IDENTITY, "frechet_parts")[0], name), name
    assert kid(a, b) == close(entries(IDENTITY, "kid_full_unbiased")[0])
    assert cmmd(a, b) == close(entries(IDENTITY, "cmmd_l2")[0])
    support = precision_recall_density_coverage(a, b)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(support, name) == close(entries(IDENTITY, "prdc")[0], name), name
    background = Background(id="golden", bandwidth=0.5, kappa=0.01, source="golden")
    headline = similarity_of(Pair(reference=a, candidate=b, background=background, permutations=1))
    # An image is not paired with its copy in the other set either, so all three means are of the same pairs.
    assert headline.raw == pytest.approx(1.0, rel=1e-12)
    [stored] = [entry for entry in entries("shift", "cauchy_schwarz_similarity") if entry.args["s2"] == 0.5]
    assert headline.k_ab == close(stored, "k_aa")
