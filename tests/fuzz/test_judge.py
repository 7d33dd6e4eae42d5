"""What the judge of the fuzzers sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from forks import FINE, REFUSED, UNEXPECTED, Outcome, in_fork
from judge import judge


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "case").mkdir()
    return tmp_path / "case" / "file"


def outcome_of(command: object, file: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Of a program whose `main` is `command`."""
    monkeypatch.setattr("binarize.cli.app.main", command)
    return in_fork(lambda: judge(["command"], file))


def test_a_file_beside_is_read_and_one_elsewhere_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = file.parents[1] / "secret"
    for path in (file, elsewhere):
        path.write_text("text")

    def read(path: Path) -> int:
        return len(path.read_text()) - 4

    assert outcome_of(lambda _: read(file), file, monkeypatch).kind == FINE
    seen = outcome_of(lambda _: read(elsewhere), file, monkeypatch)
    assert seen.kind == UNEXPECTED
    assert seen.words.startswith(f"opened: {elsewhere}")


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        ("error: {file}: no\nhint: do\n", REFUSED, ""),
        ("error: no\nhint: do\n", UNEXPECTED, "file not named"),
        ("error: {file}: no\n", UNEXPECTED, "no hint"),
        ("Traceback\nerror: {file}: no\nhint: do\n", UNEXPECTED, "a bug in binarize"),
        ("error: {file}: \x1b[31m\nhint: do\n", UNEXPECTED, "escape"),
        ("", UNEXPECTED, "exit 1"),
    ],
)
def test_a_refusal_is_a_sentence_that_names_the_file_and_a_hint(
    message: str, kind: str, words: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: list[str]) -> int:
        import sys

        sys.stderr.write(message.format(file=file))
        return 1

    outcome = outcome_of(refuse, file, monkeypatch)

    assert outcome.kind == kind
    assert outcome.words.startswith(words)
