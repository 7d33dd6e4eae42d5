"""Habits: changelog and version agree, hooks check what `make lint` checks, pins are complete."""

from __future__ import annotations

import re

import yaml
from docs_code import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_begins_with_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+) \(", changes, re.MULTILINE)
    assert f'\nversion = "{versions[0]}"\n' in PYPROJECT
    assert versions == sorted(set(versions), key=lambda v: [*map(int, v.split("."))], reverse=True)


def test_commits_are_checked_by_the_tools_of_make_lint():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint: setup\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    commands = [line.strip().removeprefix("$(BIN)/") for line in lint.splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in hooks}
    checked = {entry.removesuffix(" --force-exclude") for entry in entries}
    assert checked == {command.removesuffix(" .") for command in commands}


def test_every_direct_dependency_is_pinned():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {re.split("==", line)[0] for line in pins.splitlines()}
    wanted = {name.lower() for name in re.findall(r'^  "([\w.-]+)>=', PYPROJECT, re.MULTILINE)}
    assert len(wanted) > 20
    assert wanted <= pinned
