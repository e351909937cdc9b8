"""The simulation study's tables in docs/methods.md: `uv run python -m benchmarks.evidence.methods_page`."""

from __future__ import annotations

import math

from benchmarks import machine
from benchmarks.evidence.tables import filled, table, write_page
from benchmarks.simulation_summary import COVERAGE, LEAST_POWER, MOST_ALARMS

PAGE = machine.ROOT / "docs" / "methods.md"
METRICS = ("similarity", "kid", "mean_cosine", "precision", "recall", "c2st_auc")
NAMES = {"mixture": "mixture", "cifake": "CIFAKE"}
LOST = {"dropped": "a lost mode of 5 %", "dropped class": "a lost class of 5 %", "shrunk": "a spread of 0.9 times"}


def coverage() -> str:
    """A row a setting of equal and unlike sets; what is outside of what was wanted is bold."""
    found = machine.load("simulation_study")["settings"]
    rows = []
    for case in ("equal", "unlike"):
        for each in found:
            if each["case"] != case:
                continue
            cells = [_marked(each["coverage"][name], COVERAGE[0] <= each["coverage"][name] <= COVERAGE[1])
                     for name in METRICS]  # fmt: skip
            cells.append(_marked(each["rejected"], case != "equal" or each["rejected"] <= MOST_ALARMS))
            rows.append([f"{NAMES[each['population']]}, {case}", f"{each['n']:,}, {each['m']:,}", *cells])
    return table(["sets", "n, m", *(f"`{name}`" for name in METRICS), "p ≤ 0.05"], rows, left=2)


def summary() -> str:
    """What the study is of, and how far its own shares are known."""
    found = machine.load("simulation_study")
    trials = min(each["trials"] for each in found["settings"])
    equal = [each for each in found["settings"] if each["case"] == "equal"]
    return (
        f"{trials} experiments a row know a coverage of 0.95, and a share of false alarms of 0.05, to "
        f"± {_noise(0.95, trials):.3f}, so a few bold ones are chance. Over all "
        f"{sum(each['trials'] for each in equal):,} pairs of equal sets together the test said *different* in "
        f"{found['false_alarms_over_all']:.3f} (at most {MOST_ALARMS} was wanted)."
    )


def level() -> str:
    """A row a setting: how often equal sets were called different, by ours and by the textbook's test."""
    found = machine.load("simulation_level")
    rows = [
        [
            NAMES[each["population"]], f"{each['n']:,}, {each['m']:,}",
            _marked(each["ours"], each["ours"] <= MOST_ALARMS, ".4f"), f"{each['plain']:.4f}",
        ]
        for each in found["settings"]
    ]  # fmt: skip
    rows.append(["**all**", "", f"{found['over_all']['ours']:.4f}", f"{found['over_all']['plain']:.4f}"])
    trials = min(each["trials"] for each in found["settings"])
    said = f"{trials:,} pairs of equal sets a row; p ≤ {found['alpha']} in a share known to ± {found['noise_95']:.3f}"
    return f"{said}:\n\n" + table(["equal sets of", "n, m", "`semsim`", "in plain loops"], rows, left=2)


def power() -> str:
    found = machine.load("simulation_study")["settings"]
    rows = [
        [LOST[each["case"]], NAMES[each["population"]], _marked(each["rejected"], each["rejected"] >= LEAST_POWER)]
        for each in found
        if each["case"] in LOST
    ]
    return table(["n = m = 1,000, α = 0.05", "of", "found in"], rows, left=2)


def _marked(value: float, good: bool, shown: str = ".3f") -> str:
    return format(value, shown) if good else f"**{value:{shown}}**"


def _noise(share: float, trials: int) -> float:
    return 1.96 * math.sqrt(share * (1 - share) / trials)


TABLES = {"study": summary, "coverage": coverage, "level": level, "power": power}


def written(text: str) -> str:
    """The page with every table as the result has it."""
    return filled(text, TABLES)


if __name__ == "__main__":
    write_page(PAGE, TABLES)
