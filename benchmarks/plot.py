"""Plots beside the results: `python -m benchmarks.plot [--quick]` draws every result that exists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks import machine

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.evidence import mini_page
from benchmarks.evidence import plots as evidence

LIGHT, DARK = "#c2703d", "#1f5f8b"


def extraction_memory(found: dict[str, Any], file: Path) -> None:
    """The flat line, and the two ways that are not flat."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    rows = [row for row in found["streamed"] if row["workers"] == 1]
    axes.plot([r["n"] for r in rows], [r["peak_tree_mib"] for r in rows], "o-", color=DARK, label="embed_view")
    for pixels, style in ((32, "s--"), (224, "^--")):
        naive = [r for r in found["load_everything"] if r["pixels"] == pixels and not r["out_of_memory"]]
        label = f"load everything, {'float32 224' if pixels == 224 else 'uint8 32'} px"
        sizes, peaks = [r["n"] for r in naive], [r["peak_tree_mib"] for r in naive]
        axes.plot(sizes, peaks, style, color=LIGHT, label=label)
    for row in found["load_everything"]:
        if row["out_of_memory"]:
            guard = found["guard_gib"] * 1024
            axes.plot(row["n"], guard, "x", color=LIGHT, ms=9)
            axes.annotate("out of memory", (row["n"], guard), xytext=(8, -3), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="images", ylabel="peak memory of the process tree, MiB (PSS)")
    axes.set_title(f"embed_view, largest size less smallest: {found['growth_mib']['tree_pss']} MiB", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    _write(figure, file)


def score_card_speed(found: dict[str, Any], file: Path) -> None:
    """CPU and memory of each peer over ours."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
    bars = [(f"{row['family']} {row['n']}×{row['d']}: {peer}", each)
            for row in found["contests"] for peer, each in row["peers"].items()]  # fmt: skip
    names = [name for name, _ in bars]
    titles = (("cpu_ratio", "CPU-seconds, peer ÷ ours"), ("memory_ratio", "memory above the data, peer ÷ ours"))
    for axis, (key, title) in zip(axes, titles, strict=True):
        ratios = [max(each[key], 0.05) for _, each in bars]
        axis.barh(names, ratios, color=[DARK if ratio >= 1 else LIGHT for ratio in ratios])
        axis.axvline(1, color="black", lw=0.8)
        axis.set(xscale="log", title=title)
        axis.tick_params(axis="y", labelsize=7)
    axes[0].invert_yaxis()
    _write(figure, file)


def cifake_full(found: dict[str, Any], file: Path) -> None:
    """Class x class similarity of REAL; on the diagonal, REAL against FAKE of that class."""
    rows = found["real_classes"]
    names = list(dict.fromkeys([row["a"] for row in rows] + [row["b"] for row in rows]))
    values = {frozenset((row["a"], row["b"])): row["similarity"] for row in rows}
    values |= {frozenset((row["class"],)): row["similarity"] for row in found["real_fake_by_class"]}
    table = [[values.get(frozenset((a, b))) for b in names] for a in names]
    numbers = [[float("nan") if x is None else x for x in row] for row in table]
    figure, axes = plt.subplots(figsize=(6.6, 5.6), layout="constrained")
    shown = axes.imshow(numbers, cmap="viridis", vmin=0, vmax=1)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            text = "?" if value is None else f"{value:.2f}"
            axes.text(
                j, i, text, ha="center", va="center", fontsize=7, color="white" if (value or 0) < 0.6 else "black"
            )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title("CIFAKE, `classical`: REAL classes; diagonal: REAL against FAKE of the class", fontsize=9)
    figure.colorbar(shown, shrink=0.8)
    _write(figure, file)


def peers(found: dict[str, Any], file: Path) -> None:
    """Growth with n: a row a contest, CPU-seconds and memory side by side for each width."""
    shown = {name: each for name, each in found["contests"].items() if each["peers"]}
    kinds = list(dict.fromkeys(name.partition(" d=")[0] for name in shown))
    widths = list(dict.fromkeys(name.partition(" d=")[2] for name in shown))
    figure, axes = plt.subplots(
        len(kinds), 2 * len(widths), figsize=(3.6 * 2 * len(widths), 2.7 * len(kinds)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for row, kind in enumerate(kinds):
        for column, width in enumerate(widths):
            _contest(shown[f"{kind} d={width}"], axes[row][2 * column], axes[row][2 * column + 1])
            axes[row][2 * column].set_title(f"{kind}, {int(width):,} columns", fontsize=10, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("images a side")
    _write(figure, file)


def _contest(contest: dict[str, Any], time: Any, memory: Any) -> None:
    """Ours and the peers in a picture of CPU-seconds and one of memory."""
    untold = []
    for number, (label, rows) in enumerate({"ours": contest["ours"], **contest["peers"]}.items()):
        known = [row for row in rows if "cpu_seconds" in row]
        look = {"color": DARK, "lw": 2.2} if label == "ours" else {"color": f"C{number}", "ls": "--"}
        for axis, key, least in ((time, "cpu_seconds", 0.001), (memory, "peak_above_mib", 1.0)):
            sizes, values = [row["n"] for row in known], [max(row[key], least) for row in known]
            axis.plot(sizes, values, marker="o", ms=3, label=label.replace("_", " "), **look)
        stopped = next((row for row in rows if "would" in row.get("not_run", "")), None)
        if stopped:
            untold.append((f"{stopped['n']:,}: {stopped['not_run']}", look["color"]))
    for place, (words, colour) in enumerate(untold):
        memory.text(0.98, 0.03 + 0.09 * place, words, transform=memory.transAxes, fontsize=8, ha="right", color=colour)
    time.legend(fontsize=8)
    time.set_ylabel("CPU-seconds")
    memory.set_ylabel("MiB above the data")
    for axis in (time, memory):
        axis.set(xscale="log", yscale="log")
        axis.grid(alpha=0.3, which="major")


PLOTS: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "extraction_memory": extraction_memory,
    "score_card_speed": score_card_speed,
    "cifake_full": cifake_full,
    "peers": peers,
    "adversarial_cases": lambda found, file: _write(evidence.adversarial_cases(found), file),
    "controlled_shifts": lambda found, file: _write(evidence.controlled_shifts(found), file),
    "mini_encoder": lambda found, file: _write(mini_page.comparison(found), file),
    "mini_training": lambda found, file: _write(mini_page.curves(found), file),
    "predictive_validity_mini": lambda found, file: _write(evidence.predictive_validity(found), file),
    "predictive_validity": lambda found, file: _write(evidence.predictive_validity(found), file),
}


def _write(figure: Any, file: Path) -> None:
    # A fixed salt and no date: the same result gives the same bytes.
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    print(file)


def main() -> None:
    """Draw what is there."""
    quick = machine.arguments(__doc__).quick
    mpl.rcParams["svg.hashsalt"] = "semsim"
    folder = machine.RESULTS / "quick" if quick else machine.RESULTS
    for name, draw in PLOTS.items():
        if (folder / f"{name}.json").is_file():
            draw(machine.load(name, quick=quick), folder / f"{name}.svg")


if __name__ == "__main__":
    main()
