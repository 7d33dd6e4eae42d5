"""Classes, confusions and the most wrong images on the page of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_runs
import self_contained

from binarize.errors import RunError
from binarize.reporting import answers as shown
from binarize.reporting.facts import facts_of
from binarize.reporting.run_page import write_run_page
from binarize.run import Answers, Run

CAT, DOG, EMU = "cat<b>", "dog & co", "emu"
RECORD: dict[str, Any] = {
    "images": "test",
    "classes": [CAT, DOG, EMU],
    "counts": [[0, 0, 6], [0, 1, 2], [1, 1, 5], [1, 0, 1], [1, 2, 1]],
    "worst": [
        {
            "image": 'x/"><script>.jpg',
            "label": 0,
            "answer": 1,
            "probability": 0.9,
            "of_label": 0.01,
            "picture": "/9j/4AAQ",
        },
        {"image": "y.jpg", "label": 1, "answer": 7, "probability": 0.8, "of_label": 0.1},
    ],
}


def many(classes: int) -> Answers:
    """Each class is right in nine of ten images, and else taken for the next one."""
    counts = [
        (label, answer, images)
        for label in range(classes)
        for answer, images in ((label, 9), ((label + 1) % classes, 1))
    ]
    names = [f"n{number:04}" for number in range(classes)]
    return Answers.make(images="test", classes=names, counts=counts, worst=[])


def test_classes_and_confusions_are_counted() -> None:
    record = Answers.from_data(RECORD)
    assert record.per_class() == [
        (CAT, 8, 75.0, DOG),
        (DOG, 7, pytest.approx(500 / 7), CAT),  # of two that are as frequent the first
        (EMU, 0, None, ""),
    ]
    assert record.confusions() == [(CAT, DOG, 2), (DOG, CAT, 1), (DOG, EMU, 1)]
    assert record.matrix(30) == [[6, 2, 0], [1, 5, 1], [0, 0, 0]]
    assert record.matrix(2) == [[14, 1], [0, 0]]  # cat and dog share a row
    worst = record.figures()["worst"]
    assert worst == [{"image": 'x/"><script>.jpg', "class": CAT, "answer": DOG, "probability": 0.9}]


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (30, 30), (31, 30), (1000, 30)])
def test_the_matrix_and_the_table_stay_readable(classes: int, rows: int) -> None:
    record = many(classes)
    matrix = shown.Matrix.of(record)
    assert len(matrix.labels) == len(shown.class_rows(record)) == rows
    assert sum(cell.images for cell in matrix.cells) == 10 * classes
    assert matrix.numbers == (classes == 2)
    assert matrix.together == {2: 1, 30: 1, 31: 2, 1000: 34}[classes]
    assert max(cell.y for cell in matrix.cells) + matrix.side == pytest.approx(shown.PLOT)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_runs.trained(tmp_path / "run")


def page(run: Path, record: Any) -> str:
    (run / "answers.json").write_text(json.dumps(record))
    write_run_page(facts_of(run), run / "report.html")
    return (run / "report.html").read_text()


def test_the_page_shows_them_and_escapes_names(run: Path) -> None:
    text = page(run, RECORD)
    self_contained.check(text)
    assert "cat&lt;b&gt; taken for dog &amp; co: 2" in text
    assert "<td>dog &amp; co</td>" in text
    assert "75.0" in text
    assert 'src="data:image/jpeg;base64,/9j/4AAQ"' in text
    assert "<script>" not in text
    assert "y.jpg" not in text  # taken for a class that there is not
    assert facts_of(run).figures()["answers"]["classes"][0]["top1"] == 75.0


def test_a_damaged_record_is_said_and_left_out(run: Path) -> None:
    worst = [{**RECORD["worst"][0], "picture": '"><script>'}]
    assert "Which class" not in page(run, {**RECORD, "worst": worst})
    with pytest.raises(RunError, match=r"answers.json\" is damaged: worst\.0\.picture"):
        _ = Run(run).answers
    assert any("answers.json" in sentence for sentence in facts_of(run).damage())
