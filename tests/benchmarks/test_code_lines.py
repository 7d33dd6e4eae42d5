"""benchmarks/code_lines.py: what counts as a line of code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import code_lines

PYTHON = '''\
"""Two lines
of documentation."""

import os  # counts


class A:
    """None."""

    # none
    x = """two

    lines and a blank one"""
    """An attribute's documentation."""


def f(a,
      b): return "# no comment"
'''

CPP = """\
// none
#include <x>  // counts

/* none

   none */ int y = 1'000;  /* counts
   none */
const char* s = "// counts, /* too";
char c = '"';  // "
int z;
"""


def test_python_counts_lines_with_code_and_nothing_else():
    assert code_lines.python_lines(PYTHON) == 6


def test_cpp_counts_what_is_left_without_comments():
    assert code_lines.cpp_lines(CPP) == 5


@pytest.fixture
def tree(tmp_path):
    for name, text in {
        "a.py": "x = 1\n",
        "p/b.py": PYTHON,
        "p/q/c.cc": CPP,
        "p/n.txt": "x",
    }.items():
        path = tmp_path / "binarize" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_packages_and_a_total(tree, capsys):
    expected = {
        ".": {"files": 1, "python": 1, "c++": 0},
        "p": {"files": 2, "python": 6, "c++": 5},
        "total": {"files": 3, "python": 7, "c++": 5},
    }
    code_lines.main([str(tree), "--json"])
    assert json.loads(capsys.readouterr().out) == expected
    code_lines.main([str(tree / "binarize")])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["total", "3", "7", "5"]


def test_neither_a_tree_nor_a_revision_is_refused():
    with pytest.raises(SystemExit, match="neither a directory nor a revision"):
        code_lines.main(["no-such-thing"])
