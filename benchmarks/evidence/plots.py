"""Pictures of the evidence, for `benchmarks.plot`: functions from a result to a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from benchmarks.evidence.scores import NAMES

RIGHT, SMALL, WRONG = "#d5e8d4", "#fbe3c0", "#e8a08c"
COLOURS = ("#1f5f8b", "#c2703d", "#4b8b3b", "#8a4f9e", "#555555")


def adversarial_cases(found: dict[str, Any]) -> Figure:
    """One cell a case and entry: t, on green where the rule is kept."""
    cases = found["cases"]
    shade = [[0 if e["right"] else 1 if e["beyond_noise"] and 0 < e["t"] < 0.1 else 2
              for e in (case["entries"][name] for name in NAMES)] for case in cases]  # fmt: skip
    figure, axes = plt.subplots(figsize=(10.5, 0.36 * len(cases) + 1.4), layout="constrained")
    axes.imshow(shade, cmap=ListedColormap([RIGHT, SMALL, WRONG]), vmin=0, vmax=2, aspect="auto")
    for i, case in enumerate(cases):
        for j, name in enumerate(NAMES):
            t = case["entries"][name]["t"]
            axes.text(j, i, f"{t:.2f}" if abs(t) < 10 else f"{t:.0f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(NAMES)), [name.replace("_", " ") for name in NAMES], fontsize=9)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(cases)), [case["case"] for case in cases], fontsize=8)
    figure.supxlabel(
        "t: 0 = samples of one distribution, 1 = plainly different. Green: the case's rule is kept. Red: fooled.\n"
        "Amber: fooled, though more than four standard deviations beyond equal sets.",
        fontsize=8,
    )
    return figure


def controlled_shifts(found: dict[str, Any]) -> Figure:
    """Similarity against the level of every shift."""
    encoders = found["encoders"]
    figure, axes = plt.subplots(
        1, len(encoders), figsize=(5.2 * len(encoders), 4.2), layout="constrained", squeeze=False
    )
    for axis, (name, each) in zip(axes[0], encoders.items(), strict=True):
        for number, row in enumerate(each["monotone"]):
            style = ("-", "--", ":")[number // 5]
            axis.plot(row["entries"]["similarity"]["values"], style, marker=".", label=row["shift"])
        axis.set(title=f"`{name}`", xlabel="level of the shift (0: none)", ylabel="similarity")
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=7, ncols=2)
    return figure


def predictive_validity(found: dict[str, Any]) -> Figure:
    """Accuracy lost against the headline's u and against FID, for each encoder with its independent classifier."""
    names = list(found["encoders"])
    figure, axes = plt.subplots(len(names), 2, figsize=(9, 3.2 * len(names)), layout="constrained", squeeze=False)
    worlds = list(dict.fromkeys(row["world"] for row in found["pairs"]))
    for line, encoder in zip(axes, names, strict=True):
        kind = found["independent"][encoder] if found["independent"][encoder] != "both" else "network"
        for axis, entry in zip(line, ("similarity", "fid"), strict=True):
            for world, colour in zip(worlds, COLOURS, strict=False):
                rows = [row for row in found["pairs"] if row["world"] == world and encoder in row["scores"]]
                x = [row["scores"][encoder][entry] for row in rows]
                axis.plot(x, [100 * row["lost"][kind] for row in rows], ".", color=colour, label=world)
            rho = found["ranking"][encoder][kind]["entries"][entry]["rho"]
            low, high = found["ranking"][encoder][kind]["entries"][entry]["interval"]
            label = "similarity" if entry == "similarity" else "FID's formula"
            axis.set(xlabel=f"{label} under `{encoder}`", ylabel="points of accuracy lost")
            axis.set_title(f"ρ = {rho:.2f} ({low:.2f} … {high:.2f}), {kind}", fontsize=9)
            axis.grid(alpha=0.3)
            if entry == "fid" and np.ptp(axis.get_xlim()) > 0:
                axis.set_xscale("log")
    axes[0][0].legend(fontsize=7)
    return figure
