from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binarize.errors import RecipeError
from binarize.recipe.document import MAX_BYTES, parse, read, write

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn"))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcn012_-. ", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_written_is_read_back(data: object) -> None:
    assert parse(write({"key": data}), "x").data == {"key": data}


@pytest.mark.parametrize(
    "word", ["no", "1e-4", "1_000", "012", "null", "~", "1:30", "", "0x1", "."]
)
def test_words_that_look_like_something_else_survive(word: str) -> None:
    assert parse(write({"key": word}), "x").data == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5E3", 5000.0),
        (".5", 0.5),
        ("-3", -3),
        ("012", 12),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("", None),
        ("~", None),
        ("-.inf", float("-inf")),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read_back = parse(f"key: {text}\n", "x").data["key"]
    assert read_back == value
    assert type(read_back) is type(value)


def test_every_value_knows_its_line() -> None:
    document = parse("a: 1\nb:\n  - c: 2\n    d: 3\n", "f.yaml")
    assert str(document.location(("a",))) == "f.yaml:1"
    assert str(document.location(("b", 0, "d"))) == "f.yaml:4"
    assert str(document.location(("b", 0, "missing"))) == "f.yaml:3"


def test_all_doubled_keys_are_found() -> None:
    document = parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml")
    found = [(str(location), what) for location, what in document.problems]
    assert found == [("f.yaml:2", "b.c is written twice"), ("f.yaml:3", "a is written twice")]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: !!python/name:os.system 1\n", 1, "tag"),
        ("a: 1\nb: !x 2\n", 2, "tag"),
        ("a: &anchor 1\n", 1, "anchor"),
        ("a: *anchor\n", 1, "anchor"),
        ("a: [1, 2\n", 2, "expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", 2, "document"),
        ("a: {b: c\n", 2, "expected ',' or '}'"),
        ("a:\n\t- b\n", 2, "cannot start any token"),
        ("a: " + "[" * 100, 1, "nested too deeply"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(RecipeError, match="not valid YAML") as caught:
        parse(text, "f.yaml")
    assert caught.value.message.startswith(f"f.yaml:{line}: ")
    assert words in caught.value.message
    assert caught.value.hint


@given(st.text() | st.text("[]{}:-!&*#|>'\"% \n\tab1.,?"))
def test_no_text_does_worse_than_a_recipe_error(text: str) -> None:
    with contextlib.suppress(RecipeError):
        parse(text, "x")


def test_keys_are_words(tmp_path) -> None:
    document = parse("1: a\n[b]: c\nd: e\n", "f.yaml")
    assert [str(location) for location, _ in document.problems] == ["f.yaml:1", "f.yaml:2"]
    assert document.data == {"d": "e"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\x02\xff" * 10, "not a text file"),
        (b"key: \x07\n", "not a text file"),
        ("key: ü\n".encode("utf-16"), "not a text file"),
        (b"#" * (MAX_BYTES + 1), "too large"),
    ],
)
def test_files_that_are_no_text(tmp_path, content: bytes, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=words):
        read(path, "x.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read(path, "x").data == {"a": 1, "b": 2}


def test_a_directory_says_which_file_in_it_is_meant(tmp_path) -> None:
    with pytest.raises(RecipeError, match="is a directory") as caught:
        read(tmp_path, "run")
    assert "yaml" in caught.value.hint
    (tmp_path / "recipe.resolved.yaml").write_text("a: 1\n")
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, "run")
    assert caught.value.hint == f'did you mean "{tmp_path / "recipe.resolved.yaml"}"?'


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes that have names")
def test_a_pipe_is_no_recipe(tmp_path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(RecipeError, match='"x" cannot be read: not an ordinary file'):
        read(tmp_path / "x.yaml", "x")


def test_a_file_that_vanished(tmp_path) -> None:
    with pytest.raises(RecipeError, match='"x" cannot be read: no such file'):
        read(tmp_path / "x.yaml", "x")
