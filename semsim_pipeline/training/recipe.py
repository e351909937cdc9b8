"""Everything that decides what comes out of a training, beside the images and the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.fingerprint import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far each image is varied; probabilities in [0, 1].

    scale: the share of the side that is cut out (above 1: the image is mirrored at its borders), then enlarged or
    reduced to the training side. jitter: brightness, contrast and saturation are each multiplied by 1 ± at most this.
    grey, blur, coarse: how often colour is dropped, a 3x3 binomial filter applied, every 2x2 block averaged. cutout:
    the side of a square of grey, as a share of the image's.
    """

    scale: tuple[float, float] = (0.7, 1.1)
    jitter: float = 0.25
    grey: float = 0.05
    blur: float = 0.05
    coarse: float = 0.05
    cutout: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run.

    epochs: passes over the images. small_epochs: how many of them, from the first, are run at `small_side` pixels
    (56 % of the work at 24). peak_rate: the learning rate at `warm_up` of the steps; it rises to it and falls to zero
    on straight lines. decay: weight decay, of matrices and filters alone. average: how much of the averaged weights
    remains at each step. objectives: names to weights.
    """

    epochs: int
    small_epochs: int
    batch: int = 128
    small_side: int = 24
    side: int = 32
    peak_rate: float = 0.08
    warm_up: float = 0.2
    momentum: float = 0.9
    decay: float = 5e-4
    average: float = 0.99
    seed: int = 0
    objectives: Mapping[str, float] = field(
        default_factory=lambda: {"cross_entropy": 1.0, "supervised_contrastive": 0.3}
    )
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not 0 <= self.small_epochs <= self.epochs or self.epochs < 1:
            raise WrongCallError(
                f"{self.small_epochs} small epochs of {self.epochs}: write 0 to epochs, and at least 1."
            )
        if self.batch < 2:
            raise WrongCallError(f"A batch of {self.batch} has no statistics; write 2 or more.")

    def plain(self) -> dict[str, object]:
        """As JSON holds it."""
        return {**asdict(self), "objectives": dict(self.objectives)}

    def digest(self) -> str:
        """SHA-256 in hex of the whole recipe."""
        return digest_of(self.plain())  # type: ignore[arg-type]

    def side_at(self, epoch: int) -> int:
        """Pixels of the side in this epoch, the first being 0."""
        return self.small_side if epoch < self.small_epochs else self.side

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of one of `steps` steps, the first being 0."""
        top = max(1, round(self.warm_up * steps))
        if step < top:
            return self.peak_rate * (step + 1) / top
        return self.peak_rate * (steps - step) / max(1, steps - top + 1)
