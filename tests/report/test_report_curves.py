from __future__ import annotations

import builtins

import pytest
import self_contained

from binarize.errors import BinarizeError
from binarize.reporting import curves
from binarize.reporting.curves import Curve, Panel, draw, inline


def test_a_curve_is_the_mean_of_its_seeds_where_all_have_one():
    curve = Curve("ste", [{1: 10.0, 2: 20.0, 3: 1.0}, {1: 14.0, 2: 20.0}])
    assert curve.points() == [(1, 12.0, pytest.approx(8**0.5)), (2, 20.0, 0.0)]
    assert Curve("ste", [{1: 5.0}]).points() == [(1, 5.0, 0.0)]
    assert Curve("ste", []).points() == []


def test_a_curve_may_begin_late():
    curve = Curve("ste", [{1: 10.0, 2: 20.0, 3: 1.0}, {2: 22.0, 3: 3.0}], "--", 4).since(3)
    assert curve == Curve("ste", [{3: 1.0}, {3: 3.0}], "--", 4)


def test_panels_without_a_point_are_left_out():
    empty = Panel("flip ratio", [Curve("ste", [])])
    assert draw([empty]) == ""
    drawn = draw([empty, Panel("loss", [Curve("ste", [{1: 2.0, 2: 1.0}]), Curve("ede", [])])])
    assert "loss" in drawn
    assert "flip ratio" not in drawn


def test_names_of_arms_are_in_the_legend_once():
    lines = [Curve(name, [{1: 1.0, 2: 2.0}], colour=n) for n, name in enumerate(("ste", "ab-tanh"))]
    drawn = draw([Panel("a", lines), Panel("b", lines), Panel("c", lines), Panel("d", lines)])
    assert drawn.count(">ste</text>") == 1
    assert drawn.count(">ab-tanh</text>") == 1


def test_the_same_numbers_are_the_same_drawing():
    panel = Panel("a", [Curve("<b>", [{1: 1.0, 2: 2.0}, {1: 2.0, 2: 4.0}])], log=True)
    assert draw([panel]) == draw([panel])


def test_two_drawings_can_stand_in_one_page():
    panel = Panel("a", [Curve("x", [{1: 1.0, 2: 2.0}])])
    drawn = draw([panel])
    self_contained.check(f"<body>{drawn}{inline(drawn, 'second')}</body>")


def test_a_file_loses_what_html_does_not_need():
    text = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://www.w3.org/x.dtd">'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="1">'
        '<metadata>http://purl.org</metadata><!-- said --><g id="a"/><use xlink:href="#a"/>'
        '<path clip-path="url(#a)"/></svg>'
    )
    assert inline(text, "p") == (
        '<svg width="1"><g id="p-a"/><use href="#p-a"/><path clip-path="url(#p-a)"/></svg>'
    )


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def refuse(name, *more, **options):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert not curves.can_draw()
    with pytest.raises(BinarizeError) as caught:
        draw([Panel("a", [Curve("x", [{1: 1.0}])])])
    assert 'pip install "binarize[plot]"' in caught.value.hint
