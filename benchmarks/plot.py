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
    """Growth with n: CPU-seconds above, memory below, one column a contest."""
    names = [name for name, each in found["contests"].items() if each["peers"]]
    figure, axes = plt.subplots(
        2, len(names), figsize=(3.0 * len(names), 5.6), layout="constrained", sharex=True, squeeze=False
    )
    for column, name in enumerate(names):
        contest = found["contests"][name]
        lines = {"ours": contest["ours"], **contest["peers"]}
        for number, (label, rows) in enumerate(lines.items()):
            known = [row for row in rows if "cpu_seconds" in row]
            look = {"color": DARK, "lw": 2.2} if label == "ours" else {"color": f"C{number}", "ls": "--"}
            for axis, key in zip(axes[:, column], ("cpu_seconds", "peak_above_mib"), strict=True):
                sizes, values = [row["n"] for row in known], [max(row[key], 0.01) for row in known]
                axis.plot(sizes, values, marker="o", ms=3, label=label, **look)
            stopped = next((row for row in rows if "would" in row.get("not_run", "")), None)
            if stopped and known:
                last = known[-1]
                axes[1][column].annotate(
                    f"{stopped['n']:,}: {stopped['not_run']}", (last["n"], max(last["peak_above_mib"], 0.01)),
                    xytext=(-4, 6), textcoords="offset points", fontsize=6, ha="right", color=look["color"],
                )  # fmt: skip
        axes[0][column].set_title(name, fontsize=9)
        axes[0][column].legend(fontsize=6)
        axes[1][column].set_xlabel("images a side")
        for axis in axes[:, column]:
            axis.set(xscale="log", yscale="log")
            axis.grid(alpha=0.3, which="major")
    axes[0][0].set_ylabel("CPU-seconds")
    axes[1][0].set_ylabel("peak memory above the data, MiB")
    _write(figure, file)


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
