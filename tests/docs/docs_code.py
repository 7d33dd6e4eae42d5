"""Reads and runs the code of the documentation."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from binarize.cli.app import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the page's fenced blocks that name a language."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def run(page: Path) -> None:
    """Run the page's `bash` and `python` blocks in order, as one program, in the current directory."""
    names: dict[str, Any] = {"__name__": page.stem}
    for language, text in code(page):
        if language == "python":
            exec(compile(text, str(page), "exec"), names)  # a page of this repository
        elif language == "bash":
            for line in text.splitlines():
                program, *arguments = shlex.split(line, comments=True) or [""]
                assert program == "binarize", f"{page.name}: only binarize is run here: {line}"
                assert main(arguments) == 0, line


def links(page: Path) -> list[str]:
    """The targets of the page's links and images that point into the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
