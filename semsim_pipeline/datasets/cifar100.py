"""The source `cifar100`: 60,000 colour images of 32×32 in a hundred classes of twenty kinds (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Mapping

from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.cifar_batches import OPTIONS, Cifar, Layout, build_cifar
from semsim_pipeline.datasets.published import Published

FINE_TEXT = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
COARSE_TEXT = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
FINE, COARSE = tuple(FINE_TEXT.split()), tuple(COARSE_TEXT.split())
"""By number; alphabetical, as the archive's own `meta`."""

LAYOUT = Layout(
    kind="cifar100",
    file=Published(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        name="cifar-100-python.tar.gz",
        folder="cifar100",
        fetch="semsim datasets fetch cifar100",
        instead="name a copy: 'cifar100:PATH'",
        checksum="md5:eb9058c3a382ffc7106e4002c42a8d85",
    ),
    batches={"train": "train", "test": "test"},
    columns={"label": "fine_labels", "coarse": "coarse_labels"},
    classes={"label": FINE, "coarse": COARSE},
)


def build(location: str, options: Mapping[str, str]) -> Cifar:
    """CIFAR-100. Raises WrongCallError, MissingPathError."""
    return build_cifar(LAYOUT, location, options)


SOURCES.add(
    "cifar100",
    SourceKind(
        name="cifar100",
        summary="CIFAR-100: 60,000 images of 32×32, `label` (100 classes) and `coarse` (20), fetched once (170 MB)",
        example="semsim compare 'cifar100[coarse=trees]' 'cifar100[coarse=flowers]'",
        licence="none stated (Krizhevsky 2009, for research)",
        build=build,
        fetched=True,
        options=OPTIONS,
        classes=LAYOUT.classes,
    ),
)
