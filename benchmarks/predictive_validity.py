"""Does the score rank the accuracy that is lost when a classifier trained on A is tested on B?

Five worlds: REAL and FAKE of CIFAKE, its animals, its machines, digits. In each, a classifier is trained on A's
training images, tested on A's held-out images and on each B: the same held-out images shifted, other images of the
same classes, generated ones, mixtures, other shares of classes. Lost = accuracy on held-out A less accuracy on B.
Two classifiers: a small convolutional network on pixels, and logistic regression on HOG. A score is only validated by
the classifier that shares nothing with its encoder (`INDEPENDENT`); the other is kept beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.evidence.encoders import Embedder, embedder, predictions, train
from benchmarks.evidence.images import SHIFTS, Labelled, Pixels, cifake, digits, joined
from benchmarks.evidence.mini import unseen_by_mini
from benchmarks.evidence.ranks import ranking
from benchmarks.evidence.scores import all_entries
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.seeding import generator

NAME = "predictive_validity"
ENCODERS = ("classical", "conv")
INDEPENDENT = {"classical": "network", "conv": "hog", "conv-random": "hog"}
"""Which classifier shares no feature and no architecture with an encoder; another encoder's is `hog` and `network`."""
ANIMALS, MACHINES = (2, 3, 4, 5, 6, 7), (0, 1, 8, 9)
TRAIN, HELD = 300, 100
SCORED = 1_000
SEEN = 20_000
"""Images that a network sees in training, all epochs together."""
WORLDS = ("REAL", "FAKE", "animals", "machines", "digits")
LEVELS = (2, 4)
"""Of the five levels of a shift."""


@dataclass(frozen=True, slots=True)
class World:
    """train, held: of A, no image in both. candidates: (shift, level in words, B), classes as in A."""

    name: str
    train: Labelled
    held: Labelled
    candidates: list[tuple[str, str, Labelled]]


def worlds(wanted: Sequence[str] = WORLDS, *, unseen: bool = False) -> Iterator[World]:
    """Over seventy pairs together; SHIFTS are applied to the held-out images. unseen: REAL images that `mini` has not
    seen in its training, and no others.
    """
    archive = machine.cifake()
    real, fake = (cifake(archive, label, 1_000, TRAIN + 1_000) for label in ("REAL", "FAKE"))
    if unseen:
        real = unseen_by_mini(archive)
    made = {
        "REAL": lambda: _real(real, fake),
        "FAKE": lambda: _fake(real, fake),
        "animals": lambda: _some("animals", real.of(ANIMALS), fake.of(ANIMALS)),
        "machines": lambda: _some("machines", real.of(MACHINES), fake.of(MACHINES)),
        "digits": _digits,
    }
    for name in wanted:
        yield made[name]()


def _real(real: Labelled, fake: Labelled) -> World:
    held, drawn = real.each(TRAIN, HELD), fake.each(TRAIN, HELD)
    return World("REAL", real.each(0, TRAIN), held, [
        *_shifted(held, tuple(SHIFTS), LEVELS), *_mixtures(held, drawn), ("style", "FAKE", drawn),
        ("none", "other images of the same classes", real.each(TRAIN + HELD, HELD)),
        *(("classes", f"{count} of 10 classes", _few(real, count)) for count in (8, 5, 3)),
    ])  # fmt: skip


def _fake(real: Labelled, fake: Labelled) -> World:
    held, taken = fake.each(TRAIN, HELD), real.each(TRAIN, HELD)
    return World("FAKE", fake.each(0, TRAIN), held, [
        *_shifted(held, ("jpeg", "noise", "rotation", "downscale"), LEVELS), *_mixtures(held, taken),
        ("style", "REAL", taken),
    ])  # fmt: skip


def _some(name: str, mine: Labelled, other: Labelled) -> World:
    """Some of the classes."""
    size = SCORED // len(np.unique(mine.classes))
    held, drawn = mine.each(TRAIN, size), other.each(0, size)
    return World(name, mine.each(0, TRAIN), held, [
        *_shifted(held, ("blur", "hue", "occlusion", "rotation"), LEVELS),
        ("mixture", "half FAKE", _mixture(held, drawn, 0.5)), ("style", "FAKE", drawn),
        ("none", "other images of the same classes", mine.each(TRAIN + size, size)),
    ])  # fmt: skip


def _mixtures(base: Labelled, other: Labelled) -> list[tuple[str, str, Labelled]]:
    return [("mixture", f"{share:.0%} replaced", _mixture(base, other, share)) for share in (0.25, 0.5, 0.75)]


def _digits() -> World:
    written, generated = digits("digits"), digits("digits-generated")
    order = generator(0, "digits").permutation(len(written))
    base, drawn = written.take(order[897:]), generated.take(order[897:])
    return World("digits", written.take(order[:897]), base, [
        *_shifted(base, ("blur", "noise", "rotation", "contrast", "occlusion"), LEVELS),
        ("style", "generated digits", drawn), ("mixture", "half generated", _mixture(base, drawn, 0.5)),
    ])  # fmt: skip


def _shifted(base: Labelled, names: tuple[str, ...], levels: tuple[int, ...]) -> list[tuple[str, str, Labelled]]:
    return [
        (name, f"{SHIFTS[name].levels[k]:g}", Labelled(SHIFTS[name](base.images, SHIFTS[name].levels[k]), base.classes))
        for name in names
        for k in levels
    ]


def _mixture(base: Labelled, other: Labelled, share: float) -> Labelled:
    """A seeded `share` of the rows from `other`, which has the same classes in the same places or as many of each."""
    rows = generator(0, "mixture").permutation(len(base))
    cut = round(share * len(base))
    return joined(base.take(rows[cut:]), other.take(rows[:cut]))


def _few(pool: Labelled, count: int) -> Labelled:
    """HELD · 10 images of `count` classes: what A knows, in other shares."""
    kept = tuple(int(k) for k in generator(0, "few").permutation(10)[:count])
    return pool.of(kept).each(TRAIN, HELD * 10 // count)


# --- classifiers -----------------------------------------------------------------------------------------------------

Classifier = Callable[[Pixels], NDArray[np.int64]]


def classifiers(world: World) -> dict[str, Classifier]:
    network = train(world.train, epochs=SEEN // len(world.train), seed=1)
    return {"network": lambda images: predictions(network, images), "hog": _hog_classifier(world.train)}


def _hog_classifier(data: Labelled) -> Classifier:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(
        _hog(data.images), data.classes
    )
    return lambda images: np.asarray(model.predict(_hog(images)), np.int64)


def _hog(images: Pixels) -> NDArray[np.float64]:
    from skimage.feature import hog

    return np.stack([
        hog(image, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2), channel_axis=-1) for image in images
    ])  # fmt: skip


def losses(world: World) -> Iterator[dict[str, Any]]:
    """A row for each B: accuracy on held-out A, on B, and what is lost."""
    made = classifiers(world)
    own = {name: float((each(world.held.images) == world.held.classes).mean()) for name, each in made.items()}
    chance = 1 / len(np.unique(world.train.classes))
    for shift, level, candidate in world.candidates:
        accuracy = {name: float((each(candidate.images) == candidate.classes).mean()) for name, each in made.items()}
        yield {
            "world": world.name,
            "shift": shift,
            "level": level,
            "own_accuracy": own,
            "accuracy": accuracy,
            "lost": {name: own[name] - accuracy[name] for name in made},
            "share_lost": {name: (own[name] - accuracy[name]) / (own[name] - chance) for name in made},
            "scores": {},
        }


def scored(world: World, encoder: Embedder) -> Iterator[dict[str, Any]]:
    """Every entry, A's training images (at most SCORED, as many of each class) against each B."""
    share = min(SCORED, len(world.train)) // len(np.unique(world.train.classes))
    reference = world.train if len(world.train) <= SCORED else world.train.each(0, share)
    side = EmbeddedSet("a", encoder.embed(reference.images))
    for _, _, candidate in world.candidates:
        yield all_entries(side, EmbeddedSet("b", encoder.embed(candidate.images)), encoder.background)


# --- the run ---------------------------------------------------------------------------------------------------------


def main() -> None:
    """World by world, then encoder by encoder; what a stopped run has finished is not done again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", default=",".join(ENCODERS), help="comma-separated; any of the package too")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="comma-separated: a run in pieces")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has done")
    parser.add_argument("--unseen-by-mini", action="store_true", help=f"such REAL images alone; writes {NAME}_mini")
    chosen = parser.parse_args()
    file = f"{NAME}_mini" if chosen.unseen_by_mini else NAME
    about = machine.describe()
    body = {} if chosen.fresh else _earlier(file)
    rows: list[dict[str, Any]] = body.setdefault("pairs", [])
    encoders = {name: embedder(name) for name in chosen.encoders.split(",")}
    body["encoders"] = {**body.get("encoders", {}), **{name: each.weights for name, each in encoders.items()}}
    for world in worlds(chosen.worlds.split(","), unseen=chosen.unseen_by_mini):
        mine = [row for row in rows if row["world"] == world.name]
        if not mine:
            mine = list(losses(world))
            rows.extend(mine)
            print(f"{world.name}: {len(mine)} pairs, accuracy {mine[0]['own_accuracy']}", flush=True)
            machine.save(file, about, body, quick=False)
        for name, encoder in encoders.items():
            if not all(name in row["scores"] for row in mine):
                for row, found in zip(mine, scored(world, encoder), strict=True):
                    row["scores"][name] = found
                print(f"{world.name}: scored under {name}", flush=True)
                machine.save(file, about, body, quick=False)
    body["ranking"] = {
        name: {kind: ranking(rows, name, kind) for kind in ("network", "hog")} for name in body["encoders"]
    }
    body["independent"] = {name: INDEPENDENT.get(name, "both") for name in body["encoders"]}
    print(machine.save(file, about, body, quick=False))


def _earlier(name: str) -> dict[str, Any]:
    path = machine.RESULTS / f"{name}.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: found[key] for key in ("pairs", "encoders") if key in found}


if __name__ == "__main__":
    main()
