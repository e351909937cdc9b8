"""Contract 2: exactly these keys and types, for every status."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

import semsim_pipeline as semsim
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.metrics.base import metric_facts
from semsim_pipeline.records import Background
from semsim_pipeline.report.files import json_text

Json = Mapping[str, object]
NUMBER = (int, float)
MAYBE = (int, float, type(None))
VERDICTS = {
    "indistinguishable", "very similar", "related", "different", "unrelated",
    "unresolved at this n", "too diverse for one number", "narrow domain: calibrate with a panel of it",
    "distinguishable", "not distinguishable", "unreliable", "not computed",
}  # fmt: skip
BACKGROUND = Background(id="abc", bandwidth=0.4, source="panel-1", kappa=0.05, mean=np.full(6, 0.1))


def check(found: object) -> None:
    """Raises AssertionError where `found` is not the JSON of one comparison."""
    top = {
        "schema": int, "encoder": str, "encoder_fingerprint": str, "background": (dict, type(None)), "seed": int,
        "versions": dict, "reference": dict, "candidate": dict, "overlap": int, "similarity": dict, "metrics": dict,
    }  # fmt: skip
    has(found, top, {"classes": dict, "agreement": list, "warnings": list})
    assert isinstance(found, dict)
    for warning in found.get("warnings", []):
        has(warning, {"kind": str, "message": str, "facts": dict})
        assert warning["kind"] in {"confound", "too_few", "duplicates"}
    if "classes" in found:
        _check_classes(found["classes"])
    assert found["schema"] == 1
    has(found["versions"], {"semsim": str})
    if found["background"] is not None:
        has(found["background"], {"id": str, "bandwidth": NUMBER, "source": str})
    for side in ("reference", "candidate"):
        has(found[side], {"name": str, "n": int, "failed": int})
    _check_headline(found["similarity"])
    for name, row in found["metrics"].items():
        assert name in metric_facts()
        _check_metric(row)


def has(found: object, keys: Mapping[str, type | tuple[type, ...]], optional: Mapping[str, type] | None = None) -> None:
    optional = optional or {}
    assert isinstance(found, dict)
    assert set(keys) <= set(found) <= set(keys) | set(optional)
    for key, kind in {**keys, **{key: kind for key, kind in optional.items() if key in found}}.items():
        assert isinstance(found[key], kind), key
        assert not isinstance(found[key], bool), key


def _check_classes(found: Json) -> None:
    if found["status"] == "not_computed":
        has(found, {"status": str, "reason": str})
        return
    keys = {
        "status", "kind", "columns", "reference", "candidate", "similarity", "frechet_distance", "matches",
        "mean_similarity", "mean_floor", "left_out", "exact",
    }  # fmt: skip
    reasons = {"tables_reason": "similarity", "frechet_distance_reason": "frechet_distance"}
    assert keys <= set(found) <= keys | set(reasons)
    for reason, table in reasons.items():
        rows = found[table]
        assert (rows is None or None in [cell for row in rows for cell in row]) == (
            reason in found or "tables_reason" in found
        ), table
    assert (found["kind"], found["columns"] is None) in {("labels", False), ("clusters", True)}
    sizes = []
    for side in ("reference", "candidate"):
        assert isinstance(found[side], list)
        sizes.append(len(found[side]))
        for each in found[side]:
            has(each, {"name": str, "n": int})
    assert isinstance(found["matches"], list)
    assert 1 <= len(found["matches"]) <= min(sizes)
    for match in found["matches"]:
        has(match, {"reference": str, "candidate": str, "similarity": NUMBER, "floor": MAYBE,
                    "frechet_distance": MAYBE, "margin": MAYBE})  # fmt: skip
    for table in (found["similarity"], found["frechet_distance"]):
        if table is None:
            continue
        assert isinstance(table, list)
        assert [len(table), *{len(row) for row in table}] == sizes


def _check_headline(found: Json) -> None:
    keys = {
        "value": MAYBE, "raw": MAYBE, "interval": (list, type(None)), "floor": MAYBE, "ceiling": dict, "p_value": MAYBE,
        "verdict": str, "status": str, "p_adjusted": (dict, type(None)),
    }  # fmt: skip
    if found["p_adjusted"] is not None:
        has(found["p_adjusted"], {"benjamini_hochberg": NUMBER, "holm": NUMBER, "tests": int})
    assert (found["p_adjusted"] is None) == (found["p_value"] is None)
    has(found, keys, {"reason": str, "images_needed": int})
    ceiling = found["ceiling"]
    has(ceiling, {"reference": dict, "candidate": dict})
    assert isinstance(ceiling, dict)
    for side in ceiling.values():
        has(side, {"value": MAYBE, "interval": (list, type(None))})
        _check_interval(side["interval"])
    _check_interval(found["interval"])
    assert found["verdict"] in VERDICTS
    status, value = found["status"], found["value"]
    assert status in {"ok", "uncalibrated", "unreliable", "not_computed"}
    assert (value is None) == (status in {"unreliable", "not_computed"})
    assert (found["raw"] is None) == (status == "not_computed")
    if status != "ok":
        assert found["reason"]
    if value is not None:
        assert isinstance(value, NUMBER)
        assert 0 <= value <= 1


def _check_metric(row: Json) -> None:
    if row["status"] == "not_computed":
        has(row, {"value": type(None), "status": str, "reason": str})
        return
    has(
        row,
        {"value": NUMBER, "interval": (list, type(None)), "null": MAYBE, "status": str},
        {"detail": dict, "reason": str},
    )
    assert row["status"] == "ok"
    _check_interval(row["interval"])
    detail = row.get("detail", {})
    assert isinstance(detail, dict)
    assert all(isinstance(number, NUMBER) for number in detail.values())


def _check_interval(found: object) -> None:
    assert found is None or (isinstance(found, list) and len(found) == 2 and found[0] <= found[1])


def strict(text: str) -> object:
    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def rows(seed: int, n: int = 150, scale: float = 1.0) -> NDArray[np.float64]:
    return 1 + scale * np.random.default_rng(seed).normal(size=(n, 6))


@pytest.mark.parametrize(
    ("work", "cells", "said"), [(3 * 6**3, 2500, "only the matched"), (1, 2500, "none was"), (1, 8, "none was")]
)
def test_what_a_table_of_classes_leaves_out_has_its_reason(
    work: int, cells: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsim_pipeline.comparison.assess import EncoderIdentity, assess
    from semsim_pipeline.comparison.words import classes_markdown
    from semsim_pipeline.metrics import class_table
    from semsim_pipeline.metrics.base import EmbeddedSet, Labels
    from semsim_pipeline.report.page import render

    labels = {"label": Labels.of(["x", "y", "z"] * 50)}
    sides = [EmbeddedSet("s", rows(seed), labels=labels) for seed in (1, 2)]
    monkeypatch.setattr(class_table, "MOST_GAUSSIAN_WORK", work)
    monkeypatch.setattr(class_table, "MOST_CELLS", cells)
    result = assess(*sides, EncoderIdentity(name="e", fingerprint="", background=BACKGROUND), permutations=99)
    found = strict(json_text([result]))
    check(found)
    assert isinstance(found, dict)
    assert (
        f"all 3 × 3 classes in 6 dimensions would cost too much: {said}" in found["classes"]["frechet_distance_reason"]
    )
    assert ("tables_reason" in found["classes"]) is (cells == 8)
    # Where the matched pairs are shown, only their own gaps are explained.
    for shown in (render([result]), "\n".join(classes_markdown(result))):
        assert ("No Fréchet distance: the Gaussian distances" in shown) is (said == "none was")


def test_a_table_of_classes_is_an_optional_key_and_reads_back() -> None:
    from semsim_pipeline.comparison.assess import EncoderIdentity, assess
    from semsim_pipeline.comparison.stored import from_record, to_record
    from semsim_pipeline.metrics.base import EmbeddedSet, Labels

    labels = {"label": Labels.of(["x", "y", "z"] * 50)}
    sides = [EmbeddedSet("s", rows(seed), labels=labels) for seed in (1, 2)]
    encoder = EncoderIdentity(name="e", fingerprint="", background=BACKGROUND)
    result = assess(sides[0], sides[1], encoder, permutations=99)
    found = strict(json_text([result]))
    check(found)
    assert isinstance(found, dict)
    assert found["classes"]["columns"] == {"reference": "label", "candidate": "label"}
    again = from_record(json.loads(json.dumps(to_record(result))))
    assert again.classes == result.classes
    assert "classes" not in assess(sides[0], sides[1], encoder, metrics=["kid"], permutations=99).to_json()
    bare = [EmbeddedSet("s", side.rows) for side in sides]
    assert "classes" not in assess(bare[0], bare[1], encoder, permutations=99).to_json()
    few = assess(EmbeddedSet("s", rows(1, n=30)), bare[1], encoder, permutations=99, clusters=True).to_json()
    check(few)
    assert "at least 50 distinct images" in str(few["classes"])
    check(assess(bare[0], bare[1], encoder, permutations=99, clusters=True).to_json())


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("metrics", [None, ["kid"]])
def test_too_diverse_for_one_number_reports_the_mean_over_matched_classes_or_clusters(
    labelled: bool, metrics: list[str] | None
) -> None:
    from semsim_pipeline.comparison.assess import EncoderIdentity, assess
    from semsim_pipeline.metrics.base import EmbeddedSet, Labels

    random = np.random.default_rng(0)
    centres = random.normal(size=(6, 6))
    at = np.repeat(np.arange(6), 25)
    labels = {"label": Labels.of([f"c{i}" for i in at])} if labelled else None
    sides = [
        EmbeddedSet("s", centres[at] + random.normal(scale=0.05, size=(150, 6)) + shift, labels=labels)
        for shift in (0.0, 0.3)
    ]
    diverse = Background(id="wide", bandwidth=0.4, source="panel-1", kappa=0.19, mean=np.full(6, 0.1))
    encoder = EncoderIdentity(name="e", fingerprint="", background=diverse)
    result = assess(sides[0], sides[1], encoder, permutations=99, metrics=metrics)
    assert result.verdict.text == "too diverse for one number"
    assert result.classes is not None
    assert result.classes.clustered is not labelled
    word = "classes" if labelled else "clusters"
    said = f"the mean over {len(result.classes.matches)} matched {word} is {result.classes.mean_similarity:.3f}"
    assert said in str(result.to_json()["similarity"])
    # The one number is lifted by what all these classes have in common; class by class the shift shows.
    assert result.similarity is not None
    assert result.classes.mean_similarity < result.similarity.raw


CASES = {
    "ok": lambda: semsim.score(rows(1), rows(2), background=BACKGROUND),
    "uncalibrated": lambda: semsim.score(rows(1), rows(2)),
    "unreliable": lambda: semsim.score(rows(1, n=8), rows(2, n=8), background=BACKGROUND),
    "not_computed": lambda: semsim.score(rows(1), rows(2, n=1), background=BACKGROUND),
}


@pytest.mark.parametrize("status", CASES)
def test_every_status_has_the_same_keys(status: str) -> None:
    result: Comparison = CASES[status]()
    found = strict(json_text([result]))
    check(found)
    assert isinstance(found, dict)
    assert found["similarity"]["status"] == status == result.status
    assert set(found["metrics"]) == set(metric_facts()) - {"similarity"}


def test_equal_rows_and_constant_rows_hold_no_nan() -> None:
    one = np.ones((30, 6))
    for pair in ((one, one), (rows(1), one), (one, rows(1)), (rows(1), rows(1)), (rows(1) * 1e-30, rows(2) * 1e30)):
        for background in (None, BACKGROUND):
            check(strict(json_text([semsim.score(*pair, background=background)])))


def test_one_is_an_object_and_several_are_a_list() -> None:
    one = semsim.score(rows(1), rows(2), metrics=["kid"])
    assert isinstance(strict(json_text([one])), dict)
    several = strict(json_text([one, one]))
    assert isinstance(several, list)
    for each in several:
        check(each)


def test_a_name_that_is_no_utf8_reads_back() -> None:
    from semsim_pipeline.comparison.score import score_arrays

    result = score_arrays(rows(1), rows(2), metrics=["kid"], names=("caf\udce9", "猫"))
    found = strict(json_text([result]).encode("utf-8", "backslashreplace").decode("utf-8"))
    assert isinstance(found, dict)
    assert (found["reference"]["name"], found["candidate"]["name"]) == ("caf\udce9", "猫")


def test_the_checker_can_fail() -> None:
    good = strict(json_text([semsim.score(rows(1), rows(2), metrics=["kid"])]))
    assert isinstance(good, dict)
    for broken in (
        {**good, "extra": 1},
        {key: value for key, value in good.items() if key != "overlap"},
        {**good, "seed": "0"},
        {**good, "similarity": {**good["similarity"], "value": None}},
        {**good, "metrics": {"kid": {"value": None, "status": "ok"}}},
    ):
        with pytest.raises(AssertionError):
            check(broken)
