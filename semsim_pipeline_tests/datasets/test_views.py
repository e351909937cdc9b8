from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsim_pipeline.datasets.views import View, parse_view
from semsim_pipeline.errors import ViewSyntaxError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
MARKS = st.text(st.sampled_from(list("ab[]=,|'\"\\ .")), max_size=8)
ANY = TEXT | MARKS


@st.composite
def views(draw: st.DrawFn) -> View:
    keys = draw(st.lists(ANY.filter(lambda k: k not in {"limit", "seed"}), unique=True, max_size=3))
    filters = tuple((key, tuple(draw(st.lists(ANY, min_size=1, max_size=3, unique=True)))) for key in keys)
    limit = draw(st.none() | st.integers(1, 10**9))
    seed = draw(st.integers(0, 99)) if limit is not None else 0
    return View(base=draw(ANY.filter(bool)), filters=filters, limit=limit, seed=seed)


def normal(view: View) -> tuple[object, ...]:
    return view.base, sorted((k, sorted(v)) for k, v in view.filters), view.limit, view.seed


@given(views())
def test_canonical_reads_back(view: View) -> None:
    again = parse_view(view.canonical())
    assert normal(again) == normal(view)
    assert again.canonical() == view.canonical()


@given(views(), views())
def test_slugs_are_safe_and_tell_views_apart(one: View, other: View) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", one.slug())
    assert (one.slug() == other.slug()) == (normal(one) == normal(other))


@given(ANY)
def test_any_text_is_a_view_or_one_clear_error(text: str) -> None:
    try:
        view = parse_view(text)
    except ViewSyntaxError as error:
        assert repr(text) in str(error)  # noqa: PT017
        assert "quotes" in str(error)  # noqa: PT017
    else:
        assert normal(parse_view(view.canonical())) == normal(view)


@pytest.mark.parametrize(
    ("text", "base", "filters"),
    [
        ("cifar10", "cifar10", ()),
        ("cifar10[]", "cifar10", ()),
        ("cifar10[label=cat]", "cifar10", (("label", ("cat",)),)),
        ("x[label=REAL,class=dog|cat]", "x", (("label", ("REAL",)), ("class", ("dog", "cat")))),
        (" x [ label = a b , c = 'd' ] ", "x", (("label", ("a b",)), ("c", ("d",)))),
        ("x[label='a, ]=|b']", "x", (("label", ("a, ]=|b",)),)),
        ("x[label='it''s']", "x", (("label", ("it's",)),)),
        ("x[label='it\\'s']", "x", (("label", ("it's",)),)),
        ('x[label=""]', "x", (("label", ("",)),)),
        ('"a[b=c]"[label=d]', "a[b=c]", (("label", ("d",)),)),
        ("./photos 2024/x.zip[label=cat]", "./photos 2024/x.zip", (("label", ("cat",)),)),
    ],
)
def test_reads(text: str, base: str, filters: object) -> None:
    view = parse_view(text)
    assert (view.base, view.filters) == (base, filters)


def test_a_path_that_exists_wins() -> None:
    there = {"a[b=c]", "/x/a[b"}
    assert parse_view("a[b=c]", exists=there.__contains__) == View(base="a[b=c]")
    assert parse_view("a[b=c][limit=5]", exists=there.__contains__) == View(base="a[b=c]", limit=5)
    assert parse_view("/x/a[b[label=c]", exists=there.__contains__).base == "/x/a[b"
    assert parse_view("a[b=c]").filters == (("b", ("c",)),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("[label=cat]", "no dataset"),
        ("x[label=cat", "not closed"),
        ("x[label='cat]", "quote at letter 9"),
        ("x]", "without its"),
        ("x[label]", "expected '='"),
        ("x[label=]", "a value for label"),
        ("x[=cat]", "a key"),
        ("x[label=a,label=b]", r"twice.*label=a\|b"),
        ("x[label=a]y", "follows"),
        ("x[label=a=b]", "','"),
        ("x[limit=0]", "1 or more"),
        ("x[limit=-5]", "1 or more"),
        ("x[limit=ten]", "whole number"),
        ("x[limit=5|6]", "one whole number"),
        ("x[limit=٣]", "whole number"),
        ("x[limit=5,seed=-1]", "0 or more"),
        ("x[seed=1]", "add limit"),
    ],
)
def test_what_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(ViewSyntaxError, match=said) as caught:
        parse_view(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("cifar10[label=cat]", "cifar10.cat"),
        ("cifake[class=dog,label=REAL]", "cifake.REAL.class-dog"),
        ("digits[limit=50,seed=3]", "digits.limit-50.seed-3"),
        ("digits-generated", "digits-generated"),
    ],
)
def test_slugs(text: str, slug: str) -> None:
    assert parse_view(text).slug() == slug


@pytest.mark.parametrize("text", ["photos.zip", "/a/b", "x[label=a b]", "x[label=Ñandú]", "x[label=a|b]", "x-0a1b2c3d"])
def test_lossy_slugs_carry_digits(text: str) -> None:
    assert re.search(r"-[0-9a-f]{8}$", parse_view(text).slug())
    assert len(parse_view("x[label=" + "y" * 300 + "]").slug()) < 100


def test_options_and_limits() -> None:
    view = parse_view("x[split=test,label=a]").with_options(["split"])
    assert (view.options, view.filters) == ({"split": "test"}, (("label", ("a",)),))
    assert view.canonical() == "x[label=a,split=test]"
    assert view.limited(5, 2).canonical() == "x[label=a,limit=5,seed=2,split=test]"
    assert view.limited(None) == view
    with pytest.raises(ViewSyntaxError):
        view.limited(0)
    with pytest.raises(ViewSyntaxError, match="one value"):
        parse_view("x[split=a|b]").with_options(["split"])
