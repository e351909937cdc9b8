from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.comparison.matrix import similarity_matrix
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.errors import WorkError
from semsim_pipeline.metrics.base import metric_facts
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.plots.heatmap import draw_heatmap
from semsim_pipeline.records import Background
from semsim_pipeline.report.catalogue import ComparisonReport, PairPage, render_comparison, write_comparison_report
from semsim_pipeline.report.headline import headline_of
from semsim_pipeline.report.meaning import meanings
from semsim_pipeline.report.page import render
from semsim_pipeline_tests.report.test_page import EVIL, Page

BACKGROUND = Background(id="abc", bandwidth=0.4, source="<panel>", kappa=0.05, mean=np.full(6, 0.1))


@cache
def scored(n: int = 40) -> Comparison:
    random = np.random.default_rng(0)
    rows = [1 + random.normal(size=(n, 6)) for _ in range(2)]
    return score_arrays(*rows, background=BACKGROUND, metrics=["mean_cosine", "kid", "exact_duplicates", "precision"])


def valued(value: float, reference: str, candidate: str) -> Comparison:
    found = scored()
    assert found.similarity is not None
    sides = replace(found.reference, name=reference), replace(found.candidate, name=candidate)
    headline = replace(found.similarity, raw=value, value=value, interval=(value - 0.01, value + 0.01))
    return replace(found, reference=sides[0], candidate=sides[1], similarity=headline)


def picture(name: str, said: str = "drawn") -> Picture:
    return Picture(name=name, title=f"title {said}", caption=f"caption {said}", alt=f"alt {said}", png=said.encode(),
                   width=720, height=400)  # fmt: skip


def report(n: int, *, name: str = "set", extra: tuple[PairPage, ...] = ()) -> ComparisonReport:
    """n pairs, the first the least similar; each with pictures that bear its key."""
    pairs = [
        PairPage(
            key=f"{name}.{i}~x@fake",
            comparison=valued(0.1 + 0.8 * i / max(1, n - 1), f"{name} {i}", "other"),
            pictures=(picture("scale", f"scale of {i}"), picture("map", f"map of {i}")),
            digests={"Score version": f"digest-{i}"},
        )
        for i in range(n)
    ]
    labelled = [(page.comparison.reference.name, "other", page.key, page.comparison) for page in pairs]
    matrix = similarity_matrix(name, scored().encoder, "pairs", labelled)
    return ComparisonReport(
        name=name,
        title=f"Title of {name}",
        description="What it is about.",
        command=f"semsim rescore --comparison '{name}'",
        matrices=[matrix],
        pairs=[*pairs, *extra],
        heatmaps=[draw_heatmap(matrix)],
        digests={"Manifest": "sha256:12ab"},
    )


def uri(said: str) -> str:
    return base64.b64encode(said.encode()).decode()


def test_the_page_is_whole_and_loads_nothing_from_outside(tmp_path: Path) -> None:
    made = report(4, extra=(PairPage(key="none", comparison=scored(1)),))
    page = write_comparison_report(made, tmp_path / "deep" / "out")
    text = page.read_text()
    found = Page(text)
    assert len(found.loads) == 1 + 4
    assert all(each.startswith("data:image/png;base64,") for each in found.loads)
    assert base64.b64decode(found.loads[0].split(",")[1]) == made.heatmaps[0].png
    assert not {"link", "iframe", "object", "base"} & set(found.tags)
    assert "@import" not in text
    assert "url(" not in text
    assert set(re.findall(r"""(\w+)=["']https?:""", text)) <= {"href"}
    numbers = json.loads((page.parent / "comparison.json").read_text())
    assert numbers == [pair.comparison.to_json() for pair in made.pairs]
    said = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]+>", " ", text, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|None|undefined)\b", said)
    for expected in ("Title of set", "What it is about.", "sha256:12ab", "digest-3", "No score", "semsim rescore"):
        assert expected in said


def test_every_pair_has_a_row_and_an_anchor() -> None:
    text = render_comparison(report(5))
    for i in range(5):
        key = f"set.{i}~x@fake"
        assert text.count(f'href="#{key}"') == 1
        assert text.count(f'id="{key}"') == 1
    rows = re.findall(r'href="#set\.(\d)~', text)
    assert rows == list("43210")  # most similar first
    assert text.count("<details>") == 5


def test_the_page_draws_the_scale_itself() -> None:
    text = render_comparison(report(2))
    assert uri("scale of 1") not in text
    assert uri("map of 1") in text
    assert text.count("<svg") == 2


def test_of_many_pairs_only_the_ends_bring_pictures() -> None:
    assert all(uri(f"map of {i}") in render_comparison(report(60)) for i in (0, 30, 59))
    text = render_comparison(report(61))
    shown = [i for i in range(61) if f">title map of {i}<" in text]
    assert shown == [*range(12), *range(49, 61)]
    assert "only the 12 most similar and the 12 least similar bring their pictures" in text
    assert "(37 pairs go without)" in text
    assert text.count("<details>") == 61
    assert "go without" not in render_comparison(report(60))


def test_everything_from_outside_is_escaped() -> None:
    made = report(2, name=EVIL)
    evil = picture("map", EVIL)
    pairs = [replace(pair, pictures=(evil,), digests={EVIL: EVIL}) for pair in made.pairs]
    text = render_comparison(
        replace(made, pairs=pairs, description=EVIL, title=EVIL, digests={EVIL: EVIL}, heatmaps=[evil])
    )
    assert text.count("<script") == 1  # the page's own
    assert "alert(1)</script>" not in text
    assert "&lt;panel&gt;" in text
    Page(text)


def test_two_pairs_of_one_key_are_refused() -> None:
    pair = PairPage(key="k", comparison=scored())
    with pytest.raises(ValueError, match="two pairs of one key"):
        replace(report(1), pairs=[pair, pair])


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WorkError, match="Cannot make the folder"):
        write_comparison_report(report(1), tmp_path / "file" / "report")


def test_the_headline_names_the_ends_and_counts_what_is_resolved() -> None:
    made = report(3)
    found = headline_of(made.matrices[0])
    assert found.sentence.startswith("3 pairs under ")
    assert "mean similarity 0.500" in found.sentence
    assert found.points[0].startswith("Most similar: set 2 and other, 0.900")
    assert found.points[1].startswith("Least similar: set 0 and other, 0.100")
    cells = made.matrices[0].cells
    vague = {place: replace(cell, verdict="unresolved at this n") for place, cell in cells.items()}
    first = next(iter(vague))
    vague[first] = replace(vague[first], value=None)
    points = headline_of(replace(made.matrices[0], cells=vague)).points
    assert "0 of 2 are resolved; the others name no band." in points
    assert points[-1] == "1 has no score on this scale."
    nothing = {place: replace(cell, value=None) for place, cell in cells.items()}
    assert headline_of(replace(made.matrices[0], cells=nothing)).sentence.endswith("none has a score.")


def test_every_metric_is_explained_with_its_source() -> None:
    found = meanings(metric_facts())
    assert len(found) == len(metric_facts())
    for each in found:
        assert each.method
        assert each.facts.source
        assert "a side" in each.limits
        assert "inf" not in each.limits.split()
    text = render_comparison(report(1))
    assert 'id="metric-similarity"' in text
    assert 'id="metric-kid"' in text
    assert 'href="#metric-kid"' in text


def test_one_comparison_shows_its_pictures_inline() -> None:
    found = scored()
    text = render([found, found], pictures=[(picture("scale"), picture("map", "first")), (picture("map", EVIL),)])
    page = Page(text)
    assert page.loads == [f"data:image/png;base64,{uri(said)}" for said in ("first", EVIL)]
    assert 'alt="alt first"' in text
    assert "<script" not in text
    assert text.count("<h2>Pictures</h2>") == 2
    with pytest.raises(ValueError, match="zip"):
        render([found, found], pictures=[()])


def test_a_single_pair_is_open_and_many_are_not() -> None:
    assert render_comparison(report(1)).count("<details open>") == 1
    assert render_comparison(report(2)).count("<details open>") == 0
