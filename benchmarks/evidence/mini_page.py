"""The tables of docs/mini.md, written from the results: `uv run python -m benchmarks.evidence.mini_page`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks import machine
from benchmarks.evidence import tables
from benchmarks.evidence.tables import filled, table, write_page

PAGE = machine.ROOT / "docs" / "mini.md"
TRAININGS = ("mini_training", "mini_training_without_cat_truck")


def recipe() -> str:
    """What decides the weights, and their digests."""
    shipped, second = (machine.load(name) for name in TRAININGS)
    rows = []
    for name, found in (("`mini`, shipped", shipped), ("second copy, not shipped", second)):
        images = found["images"]
        rows.append([
            name, ", ".join(images["without"]) or "–", f"{images['training']:,}", f"{images['held_out']:,}",
            str(images["twins_left_out"]), f"`{images['training_digest'][:16]}`", f"`{found['weights_sha256'][:16]}`",
        ])  # fmt: skip
    head = ["", "never sees", "images", "held out", "twins left out", "digest of the images", "SHA-256 of the weights"]
    return table(head, rows, left=2)


def neighbours() -> str:
    rows = []
    for name, each in machine.load("mini_encoder")["encoders"].items():
        rows.append([f"`{name}`", f"{each['neighbours']:.3f}", f"{each['digits']:.3f}"])
    return table(["", "10-NN of held-out photographs", "10-NN of digits"], rows)


def unseen() -> str:
    rows = []
    for name, each in machine.load("mini_encoder")["encoders"].items():
        for label, found in each["unseen_classes"].items():
            rows.append([f"`{name}`", label, f"{found['recall']:.3f}", f"{found['auc']:.3f}",
                         f"{found['auc_of_nearest']:.3f} ({found['nearest']})"])  # fmt: skip
    return table(["", "class", "recall by 10-NN", "AUC against all", "AUC against the nearest class"], rows, left=2)


def published() -> str:
    encoders = machine.load("mini_encoder")["encoders"]
    first = next(iter(encoders.values()))["published"]["pairs"]
    rows = []
    for number, pair in enumerate(first):
        cells = [f"{each['published']['pairs'][number]['similarity']:.3f}" for each in encoders.values()]
        rows.append([pair["pair"], f"{pair['published']:.3f}", *cells])
    rho = [f"{each['published']['spearman']['similarity']:.2f}" for each in encoders.values()]
    rows.append(["**Spearman's ρ with the published**", "", *rho])
    rho = [f"{each['published']['spearman']['mean_cosine']:.2f}" for each in encoders.values()]
    rows.append(["**the same by mean cosine, as published**", "", *rho])
    return table(["pair", "CLIP ViT-B/32, mean cosine", *(f"`{name}`" for name in encoders)], rows)


def real_and_fake() -> str:
    encoders = machine.load("mini_encoder")["encoders"]
    rows = []
    for found in encoders["mini"]["real_and_fake"]:
        classical = next(row for row in encoders["classical"]["real_and_fake"] if row["class"] == found["class"])
        rows.append([found["class"], *(_with_interval(row[key]) for row in (found, classical)
                                       for key in ("real_real", "real_fake"))])  # fmt: skip
    head = ["class", "`mini`: REAL, REAL", "`mini`: REAL, FAKE", "`classical`: REAL, REAL", "`classical`: REAL, FAKE"]
    return table(head, rows)


def _with_interval(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['similarity']:.3f} ({low:.3f} … {high:.3f})"


def throughput() -> str:
    rows = []
    for name, each in machine.load("mini_encoder")["throughput"].items():
        whole, alone = each["end_to_end"], each["encoder_alone"]
        rows.append([
            f"`{name}`", f"{whole['images_per_second']:,.0f}", f"{whole['cpu_seconds'] / whole['embedded'] * 1e3:.2f}",
            f"{whole['peak_tree_mib']:.0f}", f"{whole['others_cores']:.1f}", f"{alone['images_per_second']:,.0f}",
        ])  # fmt: skip
    head = ["", "images/s, file to Parquet", "CPU-ms an image, start included", "peak MiB, process tree",
            "cores that others used", "encoder alone: images/s"]  # fmt: skip
    return table(head, rows)


def validity() -> str:
    return tables.validity("predictive_validity_mini")


TABLES: dict[str, Callable[[], str]] = {
    "recipe": recipe, "neighbours": neighbours, "unseen": unseen, "published": published,
    "real and fake": real_and_fake, "validity": validity, "throughput": throughput,
}  # fmt: skip


def curves(found: dict[str, Any]) -> Figure:
    """Loss and held-out accuracy of both copies, epoch by epoch."""
    second = machine.load(TRAININGS[1])
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, each, style in (("shipped", found, "o-"), ("without cat and truck", second, "s--")):
        epochs = [row["epoch"] + 1 for row in each["curves"]]
        axes[0].plot(epochs, [row["loss"] for row in each["curves"]], style, label=name)
        axes[1].plot(epochs, [row["accuracy"] for row in each["curves"]], style, label=name)
    axes[0].set(xlabel="epoch", ylabel="training loss")
    axes[1].set(xlabel="epoch", ylabel=f"10-NN accuracy among {found['watched']:,} held-out images")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    return figure


def comparison(found: dict[str, Any]) -> Figure:
    """10-NN accuracy of each encoder, and the 45 class pairs of `mini` beside those of `classical`."""
    encoders = found["encoders"]
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    names = list(encoders)
    values = [encoders[name]["neighbours"] for name in names]
    axes[0].barh(names, values, color="#1f5f8b")
    for at, value in enumerate(values):
        axes[0].text(value, at, f" {value:.3f}", va="center", fontsize=8)
    axes[0].set(xlabel="10-NN accuracy on held-out images", xlim=(0, 1))
    axes[0].invert_yaxis()
    pairs = {name: [_u(row) for row in encoders[name]["class_pairs"]] for name in ("classical", "mini")}
    axes[1].plot(pairs["classical"], pairs["mini"], ".", color="#c2703d")
    for row, x, y in zip(encoders["mini"]["class_pairs"], pairs["classical"], pairs["mini"], strict=True):
        if y >= np.quantile(pairs["mini"], 0.85):
            axes[1].annotate(f"{row['a']}–{row['b']}", (x, y), fontsize=7)
    axes[1].set(xlabel="u under `classical`", ylabel="u under `mini`", title="45 pairs of classes, 500 images each")
    axes[1].grid(alpha=0.3)
    return figure


def _u(row: dict[str, Any]) -> float:
    return float((row["similarity"] - row["floor"]) / (1 - row["floor"]))


def written(text: str) -> str:
    """The page with every table as the results have it."""
    return filled(text, TABLES)


if __name__ == "__main__":
    write_page(PAGE, TABLES)
