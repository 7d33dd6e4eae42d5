"""How many lines of code does binarize have? Without blank lines, comments and docstrings.

    python benchmarks/code_lines.py               # of the working tree
    python benchmarks/code_lines.py HEAD~20       # of a revision
    python benchmarks/code_lines.py ../other/tree
    python benchmarks/code_lines.py --json

Counts Python (`.py`) and C++ (`.cc`, `.h`) in the tree's `binarize/`, or in all of a tree without such a
directory. A Python line counts where a token of code stands on it; a string that is a statement by itself is
documentation. Of C++, `//` and `/* */` are removed, then lines that are empty.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGE = "binarize"
LANGUAGES = {".py": "python", ".cc": "c++", ".h": "c++"}
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
# A quote behind a digit separates digits (1'000); strings and characters are kept as they are.
_CPP = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z])'(?:\\.|[^'\\\n])+'""",
    re.DOTALL,
)


def python_lines(text: str) -> int:
    """Lines of a Python file on which code stands."""
    spans = [_span(node) for node in ast.walk(ast.parse(text)) if _is_documentation(node)]
    lines = text.splitlines()
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        documents = any(first <= token.start and token.end <= last for first, last in spans)
        if token.type not in _NO_CODE and not documents:
            found.update(range(token.start[0], token.end[0] + 1))
    return sum(bool(lines[number - 1].strip()) for number in found)


def _is_documentation(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _span(node: ast.AST) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def cpp_lines(text: str) -> int:
    """Lines of a C++ file that are not empty without comments."""
    bare = _CPP.sub(
        lambda found: "\n" * found[0].count("\n") if found["comment"] else found[0], text
    )
    return sum(bool(line.strip()) for line in bare.splitlines())


COUNT = {"python": python_lines, "c++": cpp_lines}


def of_tree(tree: Path) -> Iterator[tuple[str, str]]:
    """(path below the package, text) of the source files of a directory."""
    top = tree / PACKAGE if (tree / PACKAGE).is_dir() else tree
    for path in sorted(top.rglob("*")):
        if path.suffix in LANGUAGES and path.is_file():
            yield path.relative_to(top).as_posix(), path.read_text(encoding="utf-8")


def of_revision(revision: str) -> Iterator[tuple[str, str]]:
    """The same, of a git revision of this repository.

    Raises:
        SystemExit: git does not know it.
    """
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", revision, PACKAGE]
    archive = subprocess.run(command, capture_output=True)
    if archive.returncode:
        raise SystemExit(f"{revision} is neither a directory nor a revision of this repository")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        for member in files:
            path = PurePosixPath(member.name)
            if path.suffix in LANGUAGES and member.isfile():
                text = files.extractfile(member).read().decode("utf-8")
                yield path.relative_to(PACKAGE).as_posix(), text


def count(sources: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Lines by package and language, and under `total`; what lies beside the packages is under `.`."""
    found: dict[str, dict[str, int]] = {}
    for path, text in sources:
        package, _, below = path.partition("/")
        language = LANGUAGES[PurePosixPath(path).suffix]
        lines = COUNT[language](text)
        for name in (package if below else ".", "total"):
            row = found.setdefault(name, {"files": 0, **dict.fromkeys(COUNT, 0)})
            row["files"] += 1
            row[language] += lines
    total = found.pop("total", {"files": 0, **dict.fromkeys(COUNT, 0)})
    return {**dict(sorted(found.items())), "total": total}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree", nargs="?", default=str(ROOT), help="a directory or a git revision")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    chosen = parser.parse_args(arguments)
    tree = Path(chosen.tree)
    counts = count(of_tree(tree) if tree.is_dir() else of_revision(chosen.tree))
    if chosen.json:
        print(json.dumps(counts))
        return
    print(f"{'package':14}{'files':>7}{'python':>9}{'c++':>8}")
    for name, row in counts.items():
        print(f"{name:14}{row['files']:7,}{row['python']:9,}{row['c++']:8,}")


if __name__ == "__main__":
    sys.exit(main())
