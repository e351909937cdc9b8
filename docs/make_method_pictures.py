"""Make the pictures of docs/methods.md: one for each group of numbers, from scikit-learn's digits and seeded clouds.

Run `uv run python -m docs.make_method_pictures`; half a minute, no network.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / "pictures" / "methods"
BLUE, RED, INK, DIM = "#0072B2", "#D55E00", "#1b2530", "#56626e"
Rows = NDArray[np.float64]


def digits(*labels: int) -> Rows:
    """The pixels of all digits of these classes, [n, 64] within 0 and 1; all of them where no class is named."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = np.asarray(found.data, dtype=np.float64) / 16
    return rows if not labels else rows[np.isin(found.target, labels)]


def row(count: int, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side, without ticks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, height), dpi=110, layout="constrained")
    axes = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8, colors=DIM)
    return figure, axes


def bare(axes: Axes, title: str) -> None:
    """A panel that shows places only."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, color=INK)


def card_of(a: Rows, b: Rows, names: list[str]) -> dict[str, float]:
    """Values of the score card for two arrays."""
    import semsim_pipeline as semsim

    found = semsim.score(a, b, metrics=names).metrics
    return {name: value.value for name, value in found.items() if value.value is not None}


def plane(*sets: Rows) -> list[Rows]:
    """Each set on the first two principal axes of all of them."""
    pool = np.concatenate(sets)
    _, _, axes = np.linalg.svd(pool - pool.mean(axis=0), full_matrices=False)
    return [(rows - pool.mean(axis=0)) @ axes[:2].T for rows in sets]


def headline() -> Figure:
    """Scores of digit classes against the threes, each with interval and floor."""
    import semsim_pipeline as semsim

    named = ["digits-generated[label=3]", "digits[label=9]", "digits[label=5]", "digits[label=8]", "digits[label=0]"]
    figure, [axes] = row(1)
    for place, name in enumerate(named):
        found = semsim.compare("digits[label=3]", name, metrics=["mean_cosine"]).similarity
        assert found is not None
        axes.plot(found.interval, [place, place], color=BLUE, lw=4, alpha=0.45, solid_capstyle="round")
        axes.plot(found.raw, place, "o", color=BLUE, ms=8)
        axes.plot(found.floor, place, "|", color=RED, ms=16, mew=2)
    axes.set_yticks(range(len(named)), [f"3 against {name}" for name in named])
    axes.axvline(1, color=DIM, lw=1, ls=":")
    axes.set(xlim=(0, 1.05), ylim=(len(named) - 0.5, -0.6))
    axes.set_title("score (dot), 95 % interval (bar), floor of unrelated sets (red)", fontsize=9, color=INK)
    return figure


def location() -> Figure:
    """Why a plain mean cosine says little: everything lies in one cone."""
    from semsim_pipeline.records import Background

    everything = digits()
    mean = (everything / np.linalg.norm(everything, axis=1, keepdims=True)).mean(axis=0)
    scale = Background(id="docs", bandwidth=0.2, kappa=0.1, source="all digits", mean=mean)
    figure, axes = row(2)
    import semsim_pipeline as semsim

    for panel, name in zip(axes, ("mean_cosine", "centred_cosine"), strict=True):
        values = []
        for other in range(10):
            found = semsim.score(digits(3), digits(other), metrics=[name], background=scale).metrics[name].value
            values.append(0.0 if found is None else found)
        panel.bar(range(10), values, color=[BLUE if other == 3 else "#b5c4d4" for other in range(10)])
        panel.axhline(0, color=DIM, lw=0.8)
        panel.set_xticks(range(10))
        panel.set_ylim(-1, 1)
        panel.set_title(f"{name}: threes against each digit", fontsize=9, color=INK)
    return figure


def distribution() -> Figure:
    """The Fréchet distance of two samples of the same digits falls with n; its floor and the extrapolation."""
    rows = digits()
    sizes = [45, 60, 90, 140, 220, 400, 800]
    random = np.random.default_rng(0)
    measured: dict[str, list[float]] = {"frechet_distance": [], "frechet_infinity": [], "kid": []}
    for n in sizes:
        parts = [random.permutation(len(rows)) for _ in range(6)]
        found = [card_of(rows[part[:n]], rows[part[n : 2 * n]], list(measured)) for part in parts]
        for name, values in measured.items():
            values.append(float(np.mean([each[name] for each in found])))
    figure, axes = row(2)
    axes[0].plot(sizes, measured["frechet_distance"], "o-", color=RED, ms=4, label="frechet_distance")
    axes[0].plot(sizes, measured["frechet_infinity"], "s-", color=BLUE, ms=4, label="frechet_infinity")
    axes[1].plot(sizes, measured["kid"], "o-", color=BLUE, ms=4, label="kid")
    for panel, title in zip(axes, ("two samples of the SAME digits", "kid: no bias, only noise around 0"), strict=True):
        panel.axhline(0, color=DIM, lw=0.8, ls=":")
        panel.set_xscale("log")
        panel.set_xticks([50, 100, 200, 400, 800], ["50", "100", "200", "400", "800"])
        panel.minorticks_off()
        panel.set_xlabel("images a side", fontsize=8)
        panel.set_title(title, fontsize=9, color=INK)
    axes[1].set_ylim(-0.02, 0.02)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def cloud(n: int, seed: int, spread: tuple[float, float] = (1.0, 0.45), centre: tuple[float, float] = (0, 0)) -> Rows:
    """Points of a tilted oval, [n, 2]."""
    rows = np.random.default_rng(seed).normal(size=(n, 2)) * spread
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    return np.asarray(rows @ turn + centre, dtype=np.float64)


def dots(axes: Axes, a: Rows, b: Rows) -> None:
    """Both sides as points."""
    axes.plot(*a.T, "o", color=BLUE, ms=3, alpha=0.55, mew=0)
    axes.plot(*b.T, "^", color=RED, ms=3.4, alpha=0.65, mew=0)


def shape() -> Figure:
    """Equal shape, another direction, and a collapse onto a line."""
    figure, axes = row(3)
    a = cloud(250, 1)
    others = {
        "the same shape": cloud(250, 2),
        "turned": cloud(250, 3)[:, ::-1] * [1, -1],
        "collapsed": cloud(250, 4, (1, 0.03)),
    }
    for panel, (title, b) in zip(axes, others.items(), strict=True):
        found = card_of(a, b, ["shape"])
        dots(panel, a, b)
        bare(
            panel, f"{title}\noverlap {found['covariance_overlap']:.2f}, rank ratio {found['effective_rank_ratio']:.2f}"
        )
    return figure


def diversity() -> Figure:
    """The effective number of different images in sets of 150."""
    random = np.random.default_rng(0)
    one = digits(3)
    sets = {
        "one image,\n150 times": np.repeat(one[:1], 150, axis=0),
        "three images,\n50 times each": np.repeat(digits()[[0, 1, 2]], 50, axis=0),
        "150 threes": one[:150],
        "150 of\nall digits": digits()[random.permutation(1797)[:150]],
    }
    figure, [axes] = row(1)
    values = [card_of(rows, rows, ["vendi_reference"])["vendi_reference"] for rows in sets.values()]
    axes.bar(range(len(sets)), values, color=["#b5c4d4", "#b5c4d4", BLUE, BLUE], width=0.6)
    for place, value in enumerate(values):
        axes.text(place, value + 0.06, f"{value:.2f}", ha="center", fontsize=9, color=INK)
    axes.set_xticks(range(len(sets)), list(sets))
    axes.set_title("Vendi score: the effective number of different images", fontsize=9, color=INK)
    return figure


def transport() -> Figure:
    """One direction of a sliced distance: both sides' quantiles, the gap between them is the work."""
    a, b = plane(digits(3), digits(9))
    figure, axes = row(2)
    dots(axes[0], a, b)
    bare(axes[0], "3 (blue) and 9 (red), two of 64 dimensions")
    share = np.linspace(0, 1, 200)
    first, second = (np.quantile(rows[:, 1], share) for rows in (a, b))
    axes[1].fill_between(share, first, second, color="#d5dbe1")
    axes[1].plot(share, first, color=BLUE, lw=2)
    axes[1].plot(share, second, color=RED, lw=2)
    axes[1].set_xlabel("share of the images", fontsize=8)
    axes[1].set_title("upright direction, sorted: the grey gap is moved", fontsize=9, color=INK)
    return figure


def support() -> Figure:
    """Balls around reference points; a collapsed and a too wide candidate."""
    from matplotlib.patches import Circle

    a = cloud(60, 1)
    distances = np.sort(np.linalg.norm(a[:, None] - a[None], axis=2), axis=1)[:, 5]
    figure, axes = row(3)
    others = {
        "the same": cloud(60, 2),
        "collapsed to a few": cloud(60, 3, (0.12, 0.1), (0.3, 0.2)),
        "far too wide": cloud(60, 4, (3.0, 2.2)),
    }
    for panel, (title, b) in zip(axes, others.items(), strict=True):
        for point, radius in zip(a, distances, strict=True):
            panel.add_patch(Circle((float(point[0]), float(point[1])), float(radius), color=BLUE, alpha=0.035, lw=0))
        dots(panel, a, b)
        found = card_of(a, b, ["precision", "recall", "coverage"])
        bare(panel, f"{title}\nprecision {found['precision']:.2f}, recall {found['recall']:.2f},\n"
                    f"coverage {found['coverage']:.2f}")  # fmt: skip
        panel.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    return figure


def proximity() -> Figure:
    """Who the nearest neighbours of each point are."""
    figure, axes = row(3)
    a = cloud(120, 1)
    others = {
        "mixed": cloud(120, 2),
        "side by side": cloud(120, 3, centre=(0.9, 1.2)),
        "apart": cloud(120, 4, centre=(3, 4)),
    }
    for panel, (title, b) in zip(axes, others.items(), strict=True):
        pool = np.concatenate([a, b])
        near = np.argsort(np.linalg.norm(pool[:, None] - pool[None], axis=2), axis=1)[:, 1]
        for place, other in enumerate(near):
            crossed = (place < len(a)) != (other < len(a))
            panel.plot(
                *pool[[place, other]].T, color=INK if crossed else "#c9d1d9", lw=1.1 if crossed else 0.6, zorder=0
            )
        dots(panel, a, b)
        found = card_of(a, b, ["knn_mixing"])["knn_mixing"]
        bare(panel, f"{title}: knn_mixing {found:.2f}")
    return figure


def separability() -> Figure:
    """What a classifier makes of held-out images: two overlapping and two separate piles."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    figure, axes = row(2)
    random = np.random.default_rng(0).permutation(183)
    sets = {
        "random halves of the threes": (digits(3)[random[:91]], digits(3)[random[91:]]),
        "3 against 8": (digits(3), digits(8)),
    }
    for panel, (title, (a, b)) in zip(axes, sets.items(), strict=True):
        rows, labels = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
        score = cross_val_predict(LogisticRegression(max_iter=2000), rows, labels, cv=5, method="predict_proba")[:, 1]
        edges = np.linspace(0, 1, 21)
        panel.hist(score[labels == 0], edges, color=BLUE, alpha=0.6)
        panel.hist(score[labels == 1], edges, color=RED, alpha=0.55)
        panel.set_xlabel("the classifier's word for “candidate”", fontsize=8)
        panel.set_title(f"{title}: c2st_auc {card_of(a, b, ['c2st_auc'])['c2st_auc']:.2f}", fontsize=9, color=INK)
    return figure


def leakage() -> Figure:
    """Bits by which perceptual hashes differ: the same picture changed, and different pictures."""
    from PIL import Image, ImageEnhance
    from skimage import data

    from semsim_pipeline.datasets.perceptual import perceptual_hash
    from semsim_pipeline.metrics.near_duplicates import TWIN_BITS

    photos = [np.asarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    pictures = [
        Image.fromarray(photo).crop((x, y, x + 200, y + 200)) for photo in photos for x in (0, 90) for y in (0, 90)
    ]
    changed = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=60)
        changed += [
            (picture, Image.open(file)),
            (picture, picture.resize((64, 64))),
            (picture, ImageEnhance.Brightness(picture).enhance(1.2)),
        ]
    between = [(one, other) for i, one in enumerate(pictures) for other in pictures[:i]]
    bits = [[_bits(perceptual_hash, *pair) for pair in pairs] for pairs in (changed, between)]
    figure, [axes] = row(1)
    edges = np.arange(0, 180, 4)
    axes.hist(bits[0], edges, color=RED, alpha=0.75, label="one picture: JPEG, resized, brightened")
    axes.hist(bits[1], edges, color=BLUE, alpha=0.6, label="two pictures (some overlap by half)")
    axes.axvline(TWIN_BITS, color=INK, lw=1.2, ls="--")
    axes.text(TWIN_BITS + 2, 40, f"counted up to {TWIN_BITS} of 256 bits", fontsize=8, color=INK)
    axes.set_xlabel("bits that differ", fontsize=8)
    axes.set_ylim(0, 45)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    return figure


def _bits(hashed: Callable[[NDArray[np.uint8]], NDArray[np.uint64] | None], one: object, other: object) -> int:
    first, second = (hashed(np.asarray(each.convert("RGB"))) for each in (one, other))  # type: ignore[attr-defined]
    assert first is not None
    assert second is not None
    return int(np.bitwise_count(first ^ second).sum())


def agreement() -> Figure:
    """One digit's nearest others under two ways of seeing: pixels, and rows and columns summed."""
    from semsim_pipeline.metrics.agreement import encoder_agreement
    from semsim_pipeline.metrics.base import EmbeddedSet

    pixels = digits() + 1e-3
    images = pixels.reshape(-1, 8, 8)
    sums = np.concatenate([images.sum(axis=1), images.sum(axis=2)], axis=1)
    found = encoder_agreement(EmbeddedSet("pixels", pixels), EmbeddedSet("sums", sums))
    figure, axes = row(12, height=2.1)
    for panel in axes:
        panel.axis("off")
    figure.suptitle(
        f"An image's nearest five by pixels (blue) and by sums of rows and columns (red): over all 1,797, they share "
        f"{found.mutual_knn:.0%} of ten\n({found.mutual_knn_null:.1%} by chance); linear CKA {found.linear_cka:.2f}",
        fontsize=9, color=INK,
    )  # fmt: skip
    start = 10
    axes[0].imshow(images[start], cmap="gray_r")
    for colour, rows, first in ((BLUE, pixels, 1), (RED, sums, 7)):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        near = np.argsort(-(unit @ unit[start]))[1:6]
        for panel, place in zip(axes[first : first + 5], near, strict=True):
            panel.imshow(images[place], cmap="gray_r")
            panel.axis("on")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set(visible=True, color=colour, linewidth=2)
    return figure


PICTURES = (
    headline, location, distribution, shape, support, proximity, separability, diversity, transport, leakage, agreement,
)  # fmt: skip


def keep(figure: Figure, path: Path) -> None:
    """A small PNG of at most 128 colours."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white")
    Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def class_matrix(path: Path) -> None:
    """The picture that a page shows of ten classes against ten."""
    from semsim_pipeline.comparison.run import score_views
    from semsim_pipeline.comparison.thumbnails import picture_sides
    from semsim_pipeline.home import ensure_home
    from semsim_pipeline.plots.base import PLOTS, Album, PairInput

    [scored] = score_views("digits", "digits-generated", ["classical"])
    reference, candidate = picture_sides(ensure_home(None), scored.reference, scored.candidate)
    pair = PairInput(comparison=scored.comparison, reference=reference, candidate=candidate)
    path.write_bytes(PLOTS.get("class_matrix").plan(pair, 0).draw(Album()).png)


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="semsim-pictures-") as home:
        os.environ["SEMSIM_HOME"] = home
        for make in PICTURES:
            keep(make(), FOLDER / f"{make.__name__}.png")
        class_matrix(FOLDER / "classes.png")


if __name__ == "__main__":
    main()
