"""The source `panel-1`: the background panel, seeded crops of photographs that scikit-learn and scikit-image ship.

What unrelated images look like to an encoder: a crop's category is its photograph. Fixed for ever under this name: a
change of recipe is a new panel, because every score's scale depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind
from semsim_pipeline.datasets.decode import decode
from semsim_pipeline.datasets.embedded import no_location
from semsim_pipeline.errors import CorruptSourceError
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.records import ItemRef
from semsim_pipeline.seeding import generator

SEED = 0
CROPS = 50
SMALLEST, LARGEST = 0.25, 0.60
"""A crop's side as a share of the photograph's short side, drawn evenly between the two."""


class _Photograph(NamedTuple):
    name: str
    file: str
    sha256: str


PHOTOGRAPHS = (
    _Photograph(
        "china", "sklearn/datasets/images/china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"
    ),
    _Photograph(
        "flower",
        "sklearn/datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    _Photograph(
        "astronaut", "skimage/data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
    ),
    _Photograph("brick", "skimage/data/brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    _Photograph(
        "camera", "skimage/data/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"
    ),
    _Photograph("cell", "skimage/data/cell.png", "8d23a7fb81f7cc877cd09f330357fc7f595651306e84e17252f6e0a1b3f61515"),
    _Photograph(
        "chelsea", "skimage/data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
    ),
    _Photograph(
        "clock_motion",
        "skimage/data/clock_motion.png",
        "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
    ),
    _Photograph(
        "coffee", "skimage/data/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"
    ),
    _Photograph("coins", "skimage/data/coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"),
    _Photograph("grass", "skimage/data/grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
    _Photograph(
        "gravel", "skimage/data/gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"
    ),
    _Photograph(
        "hubble_deep_field",
        "skimage/data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    _Photograph("ihc", "skimage/data/ihc.png", "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"),
    _Photograph(
        "microaneurysms",
        "skimage/data/microaneurysms.png",
        "a1e1be59aa447f8ce082f7fa809997ab369a2b137cb6c4202abc647c7ccf6456",
    ),
    _Photograph("moon", "skimage/data/moon.png", "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577"),
    _Photograph(
        "motorcycle_left",
        "skimage/data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    _Photograph("page", "skimage/data/page.png", "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3"),
    _Photograph(
        "retina", "skimage/data/retina.jpg", "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"
    ),
    _Photograph(
        "rocket", "skimage/data/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"
    ),
    _Photograph("text", "skimage/data/text.png", "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1"),
)
"""Real pictures only (no logos, charts, masks): name, file within its package, the digest the recipe was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """1,050 square crops, RGB uint8, 25 to 846 pixels a side; label: the photograph. Memory: one photograph."""

    kind: str = "panel-1"
    location: str = "panel-1"
    options: Mapping[str, str] = field(default_factory=dict)
    label_columns: tuple[str, ...] = ("label",)

    def items(self) -> Iterator[ItemRef]:
        for row in range(len(PHOTOGRAPHS) * CROPS):
            name = PHOTOGRAPHS[row // CROPS].name
            yield ItemRef(path=f"{name}/{row % CROPS:02d}.png", labels={"label": name}, locator=row)

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(PanelReader())


class PanelReader:
    """Keeps the last photograph; crops in order decode each photograph once."""

    def __init__(self) -> None:
        self._name = ""
        self._pixels: NDArray[np.uint8] = np.empty((0, 0, 3), dtype=np.uint8)

    def read(self, item: ItemRef) -> NDArray[np.uint8]:
        photograph = PHOTOGRAPHS[item.locator // CROPS]
        if photograph.name != self._name:
            self._pixels = _pixels_of(photograph)
            self._name = photograph.name
        top, left, side = _crop(photograph.name, item.locator % CROPS, *self._pixels.shape[:2])
        return self._pixels[top : top + side, left : left + side].copy()


def _crop(name: str, crop: int, height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) in pixels; depends on the photograph's name and the crop's number alone."""
    rng = generator(SEED, "panel-1", name, crop)
    short = min(height, width)
    side = int(rng.integers(int(SMALLEST * short), int(LARGEST * short), endpoint=True))
    return int(rng.integers(0, height - side, endpoint=True)), int(rng.integers(0, width - side, endpoint=True)), side


def _pixels_of(photograph: _Photograph) -> NDArray[np.uint8]:
    package, inside = photograph.file.split("/", 1)
    # The file is found without importing the package: scikit-learn's import costs a second.
    spec = find_spec(package)
    roots = [] if spec is None else list(spec.submodule_search_locations or [])
    path = Path(*roots[:1], inside)
    if not roots or not path.is_file():
        raise CorruptSourceError(f"panel-1 needs {photograph.file}, which is not installed. {_REMEDY}")
    content = path.read_bytes()
    found = image_id_of(content)
    if found != photograph.sha256:
        raise CorruptSourceError(
            f"panel-1 is made from {photograph.file} with SHA-256 {photograph.sha256[:12]}…; {path} has {found[:12]}…. "
            f"{_REMEDY}"
        )
    return decode(content)


_REMEDY = "Install scikit-learn and scikit-image in the versions that semsim-pipeline asks for."


def build(location: str, options: Mapping[str, str]) -> Panel:
    """The panel. Raises WrongCallError for a location or an option."""
    no_location("panel-1", location, options)
    return Panel()


SOURCES.add(
    "panel-1",
    SourceKind(
        name="panel-1",
        summary="the background panel: 50 crops each of 21 photographs bundled with scikit-learn and scikit-image",
        example="semsim encoders calibrate classical --panel panel-1",
        licence="public domain, CC0 and CC BY (see both packages' image credits)",
        build=build,
        embedded=True,
    ),
)
