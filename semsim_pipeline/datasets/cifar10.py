"""The source `cifar10`: 60,000 colour images of 32×32 in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Mapping

from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.cifar_batches import OPTIONS, Cifar, Layout, build_cifar
from semsim_pipeline.datasets.published import Published

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

LAYOUT = Layout(
    kind="cifar10",
    file=Published(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        name="cifar-10-python.tar.gz",
        folder="cifar10",
        fetch="semsim datasets fetch cifar10",
        instead="name a copy: 'cifar10:PATH'",
        checksum="md5:c58f30108f718f92721af3b95e74349a",
    ),
    batches={**{f"data_batch_{number}": "train" for number in range(1, 6)}, "test_batch": "test"},
    columns={"label": "labels"},
    classes={"label": CLASSES},
)


def build(location: str, options: Mapping[str, str]) -> Cifar:
    """CIFAR-10. Raises WrongCallError, MissingPathError."""
    return build_cifar(LAYOUT, location, options)


SOURCES.add(
    "cifar10",
    SourceKind(
        name="cifar10",
        summary="CIFAR-10: 60,000 images of 32×32 in ten classes, fetched once and checked (170 MB)",
        example="semsim compare 'cifar10[label=cat]' 'cifar10[label=dog]'",
        licence="none stated (Krizhevsky 2009, for research)",
        build=build,
        fetched=True,
        options=OPTIONS,
        classes=LAYOUT.classes,
    ),
)
