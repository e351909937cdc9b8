"""What the evidence pages say is what the recorded results say, and the results keep their own rules."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="needs a checkout")


@pytest.mark.parametrize("name", ["tables", "mini_page", "experiments_page", "methods_page"])
def test_the_tables_of_a_page_are_those_of_its_results(name: str) -> None:
    page = importlib.import_module(f"benchmarks.evidence.{name}")
    text = page.PAGE.read_text(encoding="utf-8")
    assert re.findall("<!-- begin: (.*?) -->", text) == list(page.TABLES)
    assert page.written(text) == text, f"run: uv run python -m benchmarks.evidence.{name}"


def test_every_recorded_judgement_follows_from_its_rule_and_its_number() -> None:
    from benchmarks import machine
    from benchmarks.evidence import rules
    from benchmarks.evidence.scores import NAMES

    known = {rule.words: rule for rule in vars(rules).values() if isinstance(rule, rules.Rule)}
    found = machine.load("adversarial_cases")
    for case in found["cases"]:
        rule = known[case["rule"]]
        for name in NAMES:
            entry, scale = case["entries"][name], found["scales"][case["space"]][name]
            if rule is not rules.AS_CONTROL:
                assert entry["t"] == pytest.approx((entry["value"] - scale["zero"]) / (scale["one"] - scale["zero"]))
            assert entry["right"] == (rule.least <= entry["t"] <= rule.most)


@pytest.mark.parametrize(
    ("rule", "verdict", "p", "right"),
    [
        ("SAME", "indistinguishable", 0.5, True),
        ("SAME", "unresolved at this n", 0.5, True),
        ("SAME", "very similar", 0.5, False),
        ("FLAG", "very similar", 0.001, True),
        ("FLAG", "indistinguishable", 0.001, False),
        ("FLAG", "unresolved at this n", 0.001, True),
        ("FLAG", "unresolved at this n", 0.2, False),
        ("AS_CONTROL", "different", 0.2, None),
    ],
)
def test_words_are_judged_as_the_rules_say(rule: str, verdict: str, p: float, right: bool | None) -> None:
    from benchmarks.evidence import rules

    assert getattr(rules, rule).kept_in_words([verdict] * 3, [p] * 3) is right


def test_ranks_are_scipys_and_a_better_entry_is_behind_nobody(monkeypatch) -> None:
    from benchmarks.evidence import ranks
    from benchmarks.evidence.ranks import ranking, spearman

    monkeypatch.setattr(ranks, "DRAWS", 200)

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.integers(0, 5, 40).astype(float)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    lost = rng.random(40)
    rows = [
        {
            "world": "w", "shift": str(k // 2), "lost": {"hog": float(each)}, "share_lost": {"hog": float(each)},
            "scores": {"e": {
                "similarity": 1 - each, "u": 1 - each, "fid": each + rng.normal() / 2, "kid": each, "cmmd": each,
                "mean_cosine": -each, "precision": rng.random(), "recall": -each, "density": each, "coverage": -each,
            }},
        }
        for k, each in enumerate(lost)
    ]  # fmt: skip
    found = ranking(rows, "e", "hog")["entries"]
    assert found["similarity"]["rho"] == pytest.approx(1)
    assert found["density"]["rho"] == pytest.approx(-1)
    assert found["kid"]["ahead"]["interval"] == pytest.approx([0, 0], abs=1e-12)
    assert found["precision"]["ahead"]["interval"][0] > 0
    assert found["fid"]["interval"][0] < found["fid"]["rho"] < found["fid"]["interval"][1]
