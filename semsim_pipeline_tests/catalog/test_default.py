"""The packaged catalogue, and the contract of its keys."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

import semsim_pipeline
from semsim_pipeline.catalog import Catalog, check, load_catalog
from semsim_pipeline.catalog.load import PACKAGED

KEY = re.compile(r"[A-Za-z0-9._~@-]+")
CHECKOUT = Path(semsim_pipeline.__file__).parent.parent
DIGITS = "0123456789"
ACROSS = [f"digits.{one}~digits.{other}@classical" for one, other in combinations(DIGITS, 2)]
OVERALL = ["digits~digits-generated@classical"]
MATCHED = [f"digits.{each}~digits-generated.{each}@classical" for each in DIGITS]


@pytest.fixture
def default(tmp_path: Path) -> Catalog:
    return load_catalog(tmp_path)


def test_its_keys(default: Catalog) -> None:
    assert list(default.pairs) == ACROSS + OVERALL + MATCHED
    assert len(default.pairs) == 56
    assert all(KEY.fullmatch(key) and pair.key == key for key, pair in default.pairs.items())
    assert default.dataset_keys() == ["digits", "digits-generated"]
    assert default.embedding_keys() == ["digits-generated@classical", "digits@classical"]
    assert default.path is None


def test_its_comparisons(default: Catalog) -> None:
    classes, overall, matched = default.comparisons.values()
    assert [each.kind for each in (classes, overall, matched)] == ["across", "pairs", "match"]
    assert [list(each.pairs) for each in (classes, overall, matched)] == [ACROSS, OVERALL, MATCHED]
    assert classes.labels["digits.3~digits.8@classical"] == ("3", "8")
    assert matched.labels["digits.3~digits-generated.3@classical"] == ("3", "3")
    assert overall.labels[OVERALL[0]] == ("digits", "digits-generated")
    assert (classes.by, overall.by, matched.by) == ("label", None, "label")
    pair = default.pairs["digits.3~digits.8@classical"]
    assert (pair.reference.text, pair.candidate.text) == ("digits[label=3]", "digits[label=8]")
    assert pair.embeddings == ("digits@classical",)
    assert pair.comparisons == ("digit-classes",)


def test_it_works(default: Catalog) -> None:
    assert check(default) == []
    pair = default.pairs["digits.3~digits-generated.3@classical"]
    rows = list(default.view_of(pair.candidate).select())
    assert rows
    assert {row.labels["label"] for row in rows} == {"3"}


def test_the_repository_holds_the_same() -> None:
    if not (CHECKOUT / "data").is_dir():
        pytest.skip("only a checkout has data/ beside the package")
    assert (CHECKOUT / "data" / "catalog.yaml").read_bytes() == PACKAGED.read_bytes()


def test_git_keeps_the_catalogue_and_nothing_else_of_data() -> None:
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    asked = ["data/catalog.yaml", "data/manifests/x.parquet", "data/report.html"]
    ran = subprocess.run(
        ["git", "check-ignore", "--no-index", *asked], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == asked[1:]


def test_loading_is_light(tmp_path: Path) -> None:
    heavy = ("torch", "sklearn", "skimage", "scipy", "pyarrow", "polars", "dagster", "timm", "open_clip")
    code = (
        "import sys; from pathlib import Path; from semsim_pipeline.catalog import load_catalog, parse;"
        f"load_catalog(Path({str(tmp_path)!r}));"
        "parse('encoders: {t: \"timm:resnet18\", o: clip-vit-b-32}', Path('x'));"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
