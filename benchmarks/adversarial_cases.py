"""Who is fooled by what: sets made to mislead, ours and the peers on the same rows, one rule a case stated before.

The rules are in `evidence/rules.py` and in `CASES`; every "right" and "fooled" is computed from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.evidence import images as pictures
from benchmarks.evidence.encoders import embedder
from benchmarks.evidence.rules import AS_CONTROL, BETWEEN, FARTHER, FLAG, NO_FARTHER, SAME, Rule
from benchmarks.evidence.scores import NAMES, all_entries, headline, peers
from benchmarks.evidence.worlds import EQUAL_DRAWS, D, GaussianWorld, ImageWorld, N, Space
from semsim_pipeline.datasets.cifake import CLASSES
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.seeding import generator

NAME = "adversarial_cases"
SEEN = 4.0
"""Standard deviations between equal samples of 1,000 beyond which a number that breaks its rule has moved at all."""
Sides = tuple[EmbeddedSet, EmbeddedSet]


@dataclass(frozen=True, slots=True)
class Case:
    """sides(repeat): a pair. control(repeat): a pair to compare with, where the rule asks for one."""

    name: str
    world: str
    rule: Rule
    sides: Callable[[int], Sides]
    repeats: int = 1
    control: Callable[[int], Sides] | None = None


def image_cases(world: ImageWorld) -> list[Case]:
    """n = 1,000 a side where a name does not say otherwise; the reference holds ten REAL classes."""
    [reference, other] = world.sample(N, "reference", 2)
    base = world.real.each(0, N // len(CLASSES))
    clean = world.embedded(base.images)
    fresh = world.real.each(N // len(CLASSES), N // len(CLASSES)).images

    def against(images: pictures.Pixels) -> Callable[[int], Sides]:
        return lambda _: (clean, world.embedded(images))

    def shifted(name: str, level: float) -> Callable[[int], Sides]:
        return lambda _: (clean, world.embedded(pictures.SHIFTS[name](fresh, level)))

    def only(classes: tuple[int, ...]) -> Callable[[int], Sides]:
        per_class = N // len(classes)
        held = world.real.each(200, 1_000).of(classes).each(0, per_class)
        return lambda _: (clean, world.embedded(held.images))

    frogs = world.rows_of("frog", 0, N)
    half = np.concatenate([world.rows_of("frog", N, 400), world.rows_of("ship", 0, 400)])
    dirty = fresh.copy()
    dirty[::20] = pictures.noise_images(len(dirty[::20]), "dirt")
    return [
        Case("a set against itself", "images", NO_FARTHER, lambda _: (reference, reference)),
        Case("two samples of one distribution", "images", SAME, lambda _: (reference, other)),
        Case("the same, n = 50", "images", SAME, lambda r: _two(world, 50, r), 20),
        Case("the same, n = 20", "images", SAME, lambda r: _two(world, 20, r), 40),
        Case("the same, 100 against 2,000", "images", SAME, lambda r: world.sizes(100, 2_000, f"ratio {r}"), 10),
        Case("50 bursts of 20 frames against 50 others", "images", SAME, lambda r: _bursts(world, r), 10),
        Case(
            "a fifth of the candidate copied from the reference, n = 50", "images", AS_CONTROL,
            lambda r: _leaked(world, r, copied=True), 40, lambda r: _leaked(world, r, copied=False),
        ),
        Case("JPEG at quality 95", "images", SAME, lambda _: (clean, world.embedded(_jpeg(fresh, 95)))),
        Case("JPEG at quality 5", "images", FLAG, shifted("jpeg", 5)),
        Case("blur, σ = 1.6 pixels", "images", FLAG, shifted("blur", 1.6)),
        Case("greyscale", "images", BETWEEN, shifted("saturation", 0.0)),
        Case("upside down", "images", FLAG, against(np.ascontiguousarray(fresh[:, ::-1]))),
        Case("style shift: FAKE images of the same classes", "images", BETWEEN, against(world.fake.images)),
        Case("one class of the ten alone", "images", FLAG, only((6,))),
        Case("half of the classes missing", "images", FLAG, only((0, 1, 2, 3, 4))),
        Case("one class of the ten missing", "images", FLAG, only((0, 1, 2, 3, 4, 5, 6, 7, 9))),
        Case(
            "frogs against half frogs, half ships", "images", BETWEEN,
            lambda _: (EmbeddedSet("frogs", frogs), EmbeddedSet("half", half)),
        ),
        Case("5 % of the candidate is noise", "images", FLAG, against(dirty)),
        Case("one image a thousand times, ± 2 grey levels", "images", FLAG, against(_collapsed(fresh[0]))),
        Case("noise images against photographs", "images", FARTHER, against(pictures.noise_images(N, "all"))),
    ]  # fmt: skip


def cloud_cases(world: GaussianWorld) -> list[Case]:
    """Gaussian clouds, where the truth is known exactly; n = 1,000."""
    a = world.draw("0", N, "reference")
    middle = a.mean(axis=0)
    z = generator(0, "cloud cases").standard_normal((N, D))
    signs = np.sign(z)  # mean, covariance and third moments of z, on the corners of a cube
    far = [np.concatenate([world.draw(f"{side} {k}", 2, "tight", spread=0.02) for k in range(500)]) for side in "ab"]
    near = [world.centre("0") + 0.02 * (world.centre(side) + 0.7 * z[:: 1 if side == "1" else -1]) for side in "12"]
    return [
        Case("halved spread", "clouds", FLAG, lambda _: world.pair(a, world.draw("0", N, "b", spread=0.35))),
        Case("collapsed onto the reference's mean", "clouds", FLAG, lambda _: world.pair(a, middle + 1e-3 * z)),
        Case(
            "same mean, covariance and third moments, another shape", "clouds", FLAG,
            lambda _: world.pair(a, world.centre("0") + world.SPREAD * signs),
        ),
        Case("500 tight classes against 500 others", "clouds", FLAG, lambda _: world.pair(far[0], far[1])),
        Case(
            "narrow domain: two classes, all cosines above 0.99", "clouds", FLAG,
            lambda _: world.pair(near[0], near[1]),
        ),
    ]  # fmt: skip


def _two(world: ImageWorld, n: int, repeat: int) -> Sides:
    a, b = world.sample(n, f"tiny {n} {repeat}", 2)
    return a, b


def _jpeg(images: pictures.Pixels, quality: int) -> pictures.Pixels:
    return pictures.SHIFTS["jpeg"](images, quality)


def _collapsed(image: pictures.Pixels) -> pictures.Pixels:
    moved = image.astype(np.int64) + generator(0, "collapsed").integers(-2, 3, (N, *image.shape))
    return np.clip(moved, 0, 255).astype(np.uint8)


def _bursts(world: ImageWorld, repeat: int) -> Sides:
    """Frames: the image moved by up to a pixel and ± 3 grey levels. Ours is told the groups, as a user would."""
    rng = generator(0, "bursts", repeat)
    order = rng.permutation(len(world.real))
    sides = []
    for side in range(2):
        frames, groups = [], []
        for k in range(50):
            image = world.real.images[order[side * 50 + k]]
            for _ in range(20):
                moved = np.roll(image, rng.integers(-1, 2, 2), axis=(0, 1)).astype(np.int64)
                frames.append(np.clip(moved + rng.integers(-3, 4, image.shape), 0, 255).astype(np.uint8))
                groups.append(f"{side}-{k}")
        sides.append(world.embedded(np.stack(frames), groups))
    return sides[0], sides[1]


def _leaked(world: ImageWorld, repeat: int, *, copied: bool) -> Sides:
    """Ships against 40 frogs and 10 ships, which are copies of the reference's or fresh ones."""
    rng = generator(0, "leaked", repeat)
    ships, frogs = (world.rows_of(name, 0, 1_400)[rng.permutation(1_400)] for name in ("ship", "frog"))
    taken = ships[:10] if copied else ships[50:60]
    return EmbeddedSet("ships", ships[:50]), EmbeddedSet("mixed", np.concatenate([frogs[:40], taken]))


@dataclass(frozen=True, slots=True)
class Scale:
    """Of one entry in one space: its value at t = 0, its spread there, its value at t = 1."""

    zero: float
    deviation: float
    one: float

    def t(self, value: float) -> float:
        return (value - self.zero) / (self.one - self.zero)

    @property
    def in_t(self) -> float:
        """One standard deviation between samples of one distribution."""
        return abs(self.deviation / (self.one - self.zero))


def scales(space: Space) -> dict[str, Scale]:
    draws = [all_entries(*space.equal(k), space.background) for k in range(EQUAL_DRAWS)]
    apart = all_entries(*space.apart(), space.background)
    return {
        name: Scale(
            float(np.mean([draw[name] for draw in draws])),
            float(np.std([draw[name] for draw in draws], ddof=1)),
            float(apart[name]),
        )
        for name in NAMES
    }


def _said(a: EmbeddedSet, b: EmbeddedSet, space: Space) -> dict[str, Any]:
    return {**headline(a, b, space.background), **peers(a, b)}


def judge(case: Case, space: Space, scale: dict[str, Scale]) -> dict[str, Any]:
    """Values, t and whether the rule was kept, for every entry; and for the verdict in words."""
    found = [_said(*case.sides(r), space) for r in range(case.repeats)]
    control = case.control
    base = None if control is None else [all_entries(*control(r), space.background) for r in range(case.repeats)]
    entries = {}
    for name in NAMES:
        values = [one[name] for one in found]
        t = scale[name].t(float(np.mean(values)))
        if base is not None:
            t -= scale[name].t(float(np.mean([one[name] for one in base])))
        entries[name] = {
            "value": float(np.mean(values)),
            "t": t,
            "right": case.rule.kept(t),
            "beyond_noise": abs(t) > SEEN * scale[name].in_t,
        }
    verdicts = [one["verdict"] for one in found]
    return {
        "case": case.name,
        "space": case.world,
        "rule": case.rule.words,
        "repeats": case.repeats,
        "entries": entries,
        "verdict": {
            "words": sorted(set(verdicts), key=verdicts.count, reverse=True),
            "right": case.rule.kept_in_words(verdicts, [one["p_value"] for one in found]),
        },
        "u": float(np.mean([one["u"] for one in found])),
    }


def main() -> None:
    """Scales, then case by case; a stop keeps what is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="classical", help="for the image cases")
    chosen = parser.parse_args()
    about = machine.describe()
    picture_world, cloud_world = ImageWorld(embedder(chosen.encoder)), GaussianWorld()
    spaces = {space.name: space for space in (picture_world.space(), cloud_world.space())}
    name = NAME if chosen.encoder == "classical" else f"{NAME}_{chosen.encoder}"
    scale = {key: scales(space) for key, space in spaces.items()}
    body: dict[str, Any] = {
        "what": "t = 0: mean of ten pairs of samples of one distribution, 1,000 a side; t = 1: frogs against ships, "
        "or one random cloud against another",
        "encoder": {"name": picture_world.embedder.name, "weights": picture_world.embedder.weights},
        "scales": {
            key: {entry: {"zero": s.zero, "deviation": s.deviation, "one": s.one} for entry, s in each.items()}
            for key, each in scale.items()
        },
        "cases": [],
    }
    for case in [*image_cases(picture_world), *cloud_cases(cloud_world)]:
        row = judge(case, spaces[case.world], scale[case.world])
        body["cases"].append(row)
        wrong = [entry for entry, each in row["entries"].items() if not each["right"]]
        said = row["verdict"]
        print(f"{case.name}: t = {row['entries']['similarity']['t']:.3f}, {said['words'][0]!r} "
              f"({said['right']}); fooled: {', '.join(wrong) or 'none'}", flush=True)  # fmt: skip
        machine.save(name, about, body, quick=False)


if __name__ == "__main__":
    main()
