from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from semsim_pipeline.datasets import digits, digits_generated
from semsim_pipeline.datasets.digits import as_grey
from semsim_pipeline.fingerprint import image_id_of


def test_counts_levels_and_no_copies() -> None:
    real, drawn = digits.load(), digits_generated.load()
    assert Counter(drawn.labels) == Counter(real.labels)
    assert set(np.unique(drawn.images)) <= set(as_grey(np.arange(17)))
    assert len({image.tobytes() for image in drawn.images}) == 1797
    assert not {image.tobytes() for image in drawn.images} & {image.tobytes() for image in real.images}


def test_looks_like_its_class() -> None:
    real, drawn = digits.load(), digits_generated.load()
    judge = KNeighborsClassifier(3).fit(real.images.reshape(1797, 64), real.labels)
    assert judge.score(drawn.images.reshape(1797, 64), drawn.labels) > 0.95


def test_the_same_in_another_process() -> None:
    code = (
        "from semsim_pipeline.datasets import digits_generated as g;"
        "from semsim_pipeline.fingerprint import image_id_of;"
        "print(image_id_of(g.load().images))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == image_id_of(digits_generated.load().images)
