from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import report_runs as runs
import self_contained

from binarize.errors import RunError
from binarize.reporting import report
from binarize.reporting.card import MARK, write_card
from binarize.reporting.facts import facts_of
from binarize.reporting.run_page import panels


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = runs.trained(tmp_path_factory.mktemp("runs") / "toy-run")
    return path, report(path)


def test_page_and_card_lie_in_the_run(written):
    path, result = written
    assert result.files == [str(path / "report.html"), str(path / "README.md")]
    assert result.notes == []


def test_the_page_needs_nothing_from_elsewhere(written):
    self_contained.check((written[0] / "report.html").read_text())


def test_the_page_shows_curves_layers_and_estimators(written):
    page = (written[0] / "report.html").read_text()
    for title in ("training loss", "held-out top-1 %", "learning rate", "flip ratio"):
        assert f">{title}</text>" in page
    assert "test top-1 %</text>" not in page  # only the last epoch has it: that is no curve
    assert ">float baseline</text>" in page
    assert "ab-tanh: f(x)" in page
    assert "ste: f(x)" in page
    assert "reconstruction" in page
    assert "it sees the &lt;image&gt;" in page
    assert "<th>reason</th>" in page
    assert "saturation" not in page  # no layer has one


def test_the_figures(written):
    figures = written[1].as_json()
    json.dumps(figures)
    assert figures["test"] == {"loss": 0.9, "top1": 71.25, "top5": 95.5}
    assert figures["best"] == {"epoch": 2, "top1": 72.5}
    assert figures["best_on"] == "held-out images"
    assert figures["float"] == {"loss": None, "top1": 75.5, "top5": None}
    assert figures["agreement"] is figures["agreement_best"] is None
    assert (figures["epochs"], figures["seconds"], figures["finished"]) == (3, 60, True)
    assert figures["indicators"]["estimating_error"] == 3.25
    assert figures["indicators"]["dead_weights"] is None
    assert figures["estimators"] == [{"name": "ab-tanh", "k_end": 7.0}, {"name": "ste"}]
    assert figures["layers"][1]["indicators"] == {"estimating_error": 3.25, "flip_ratio": 0.125}


@pytest.mark.parametrize(
    "words",
    [
        MARK,
        "# toy-run",
        "`timm/toy` with 1-bit weights, ab-tanh, trained on folder.",
        "Kept float: conv1.",
        "Estimator: ab-tanh, k_end = 7.0.",
        "AB-STE is a reconstruction",
        "Estimator: ste.",
        "- warm: 1 epochs, adamw, learning rate 0.01, cosine, binary: none",
        "- stage 2: 2 epochs, sgd, learning rate 0.1, cosine",
        "    binarize train --recipe recipe.resolved.yaml --data-dir DIR",
        "| last epoch, test images | 71.25 % top-1 |",
        "| best epoch (2), chosen and measured on held-out images | 72.50 % top-1 |",
        "| float baseline, last epoch, test images | 75.50 % top-1 |",
        "on 1970-01-01; Abacus, 2 cores; python 3.11, binarize 0.1.0, torch 9.9.",
        "4.00 KiB (4,096 bytes) as float, 512 bytes as packed ONNX file (predicted): 8.0 times smaller.",
        'binarize.load("toy-run")',
        "## Limits",
    ],
)
def test_the_card_says(written, words):
    assert words in (written[0] / "README.md").read_text()


def test_the_cards_of_other_estimators_speak_of_no_reconstruction(tmp_path):
    path = runs.trained(tmp_path / "run")
    conversion = runs.info().conversion.replace(estimator={"name": "ede"})
    runs.write_info(path, runs.info().replace(conversion=conversion))
    report(path)
    card = (path / "README.md").read_text()
    assert "Estimator: ede." in card
    assert "reconstruction" not in card
    assert "reconstruction" not in (path / "report.html").read_text()


@pytest.mark.parametrize(("classes", "shown"), [(5, False), (6, True), (0, True)])
def test_top_5_is_told_of_more_than_five_classes(tmp_path, classes, shown):
    path = runs.trained(tmp_path / "run")
    runs.write_info(path, runs.info(classes=[str(number) for number in range(classes)]))
    report(path)
    row = "| last epoch, test images | 71.25 % top-1, 95.50 % top-5 |"
    assert (row in (path / "README.md").read_text()) == shown


def test_a_run_that_was_only_converted(tmp_path):
    path = runs.converted(tmp_path / "run")
    result = report(path, tmp_path / "page.html")
    page, card = (tmp_path / "page.html").read_text(), (path / "README.md").read_text()
    self_contained.check(page)
    assert "converted, not trained" in page
    assert "training loss" not in page
    assert "It was converted and not trained" in card
    assert "## Accuracy" not in card
    assert result.as_json()["best"] is None


def test_a_training_that_goes_on_says_so(tmp_path):
    path = runs.trained(tmp_path / "run")
    (path / "initial").mkdir()
    (path / "initial" / "model.safetensors").touch()
    report(path)
    assert "3 epochs so far, not finished" in (path / "report.html").read_text()
    assert "Its training is not finished" in (path / "README.md").read_text()


def test_a_float_run_has_no_estimator(tmp_path):
    path = runs.trained(tmp_path / "run")
    runs.write_info(path, runs.info(conversion=None))
    result = report(path)
    assert result.as_json()["estimators"] == []
    assert "Nothing in it is binary" in (path / "README.md").read_text()


def test_a_card_that_somebody_wrote_stays(tmp_path):
    path = runs.trained(tmp_path / "run")
    (path / "README.md").write_text("my own words")
    result = report(path)
    assert (path / "README.md").read_text() == "my own words"
    assert result.files == [str(path / "report.html")]
    assert "written by somebody else" in result.notes[0]


def test_its_own_card_is_written_again(tmp_path):
    facts, card = facts_of(runs.trained(tmp_path / "run")), tmp_path / "README.md"
    write_card(facts, card)
    card.write_text(card.read_text() + "old")
    write_card(facts, card)
    assert not card.read_text().endswith("old")


def test_without_matplotlib_the_card_still_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("binarize.reporting.reporting.can_draw", lambda: False)
    path = runs.trained(tmp_path / "run")
    result = report(path)
    assert result.files == [str(path / "README.md")]
    assert result.notes == ['the page needs matplotlib: pip install "binarize[plot]"']


def test_metrics_of_an_earlier_version(tmp_path):
    path = runs.trained(tmp_path / "run")
    columns = {"epoch": [1, 2], "train_loss": [2, 1], "test_top1": [60, 61], "seconds": [1, 1]}
    runs.write_csv(path / "metrics.csv", columns)
    (path / "indicators.csv").unlink()
    (path / "env.json").unlink()
    figures = report(path).as_json()
    assert figures["test"]["top1"] == 61
    assert (figures["best"], figures["best_on"]) == ({"epoch": 2, "top1": 61.0}, "test images")
    drawn = [panel.title for panel in panels(facts_of(path)) if panel.drawn]
    assert drawn == ["training loss", "test top-1 %"]


def test_without_labels_the_agreement_is_what_is_shown(tmp_path):
    path = runs.trained(tmp_path / "run")
    columns = {"epoch": [1, 2, 3], "agreement": [60, 81.5, 80], "test_top1": ["", "", ""]}
    runs.write_csv(path / "metrics.csv", columns)
    shutil.rmtree(path / "twin")
    figures = report(path).as_json()
    assert (figures["agreement"], figures["best"]) == (80, None)
    assert figures["agreement_best"] == {"epoch": 2, "agreement": 81.5}
    drawn = [panel for panel in panels(facts_of(path)) if panel.drawn]
    assert [panel.title for panel in drawn] == ["same answer as the teacher, %"]
    assert drawn[0].drawn[0].seeds == [{1: 60, 2: 81.5, 3: 80}]
    card = (path / "README.md").read_text()
    assert "| last epoch, images without labels, same answer as the teacher | 80.00 % |" in card
    assert "| best epoch (2), images without labels, same answer as the teacher | 81.50 % |" in card


@pytest.mark.parametrize(("name", "words"), [("nowhere", "does not exist"), (".", "is not a run")])
def test_what_is_no_run(tmp_path, name, words):
    with pytest.raises(RunError, match=words):
        report(tmp_path / name)


@pytest.mark.parametrize(
    ("keys", "value", "field"),
    [
        ((), [], "it"),
        (("totals", "bytes_float"), "x", "totals.bytes_float"),
        (("totals", "bytes_packed"), 10**400, "totals.bytes_packed"),
        (("layers",), {}, "layers"),
        (("layers", 0), None, "layers.0"),
        (("layers", 0, "shape"), 3, "layers.0.shape"),
        (("layers", 0, "action"), [], "layers.0.action"),
    ],
)
def test_a_damaged_summary_is_one_sentence(tmp_path, keys, value, field):
    path = runs.trained(tmp_path / "run")
    summary = {"it": json.loads((path / "summary.json").read_text())}
    inside, last = summary, "it"
    for key in keys:
        inside, last = inside[last], key
    inside[last] = value
    (path / "summary.json").write_text(json.dumps(summary["it"]))
    with pytest.raises(RunError, match=f'summary.json" is damaged: {field}: '):
        report(path)


@pytest.mark.parametrize(
    "text", ['{"versions": []}', '{"machine": 3}', '{"machine": {"accelerators": 7}}', "[" * 10_000]
)
def test_a_damaged_environment_is_left_out(tmp_path, text):
    path = runs.trained(tmp_path / "run")
    (path / "env.json").write_text(text)
    written = report(path)
    assert "Abacus" not in (path / "report.html").read_text()
    assert written.notes == []


def test_a_card_without_end_stays(tmp_path):
    path = runs.trained(tmp_path / "run")
    with (path / "README.md").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte
    assert "was written by somebody else" in report(path).notes[0]


def test_numbers_without_bounds_are_no_numbers(tmp_path):
    """Their sums and squares would have none."""
    path = runs.trained(tmp_path / "run")
    runs.write_csv(path / "metrics.csv", {**runs.METRICS, "seconds": ["1e308", "1e308", 30]})
    assert report(path).facts.figures()["seconds"] == 30


def test_damaged_tables_are_said_and_the_rest_is_reported(tmp_path):
    path = runs.trained(tmp_path / "run")
    whole = report(path).facts
    for name in ("metrics.csv", "indicators.csv", "twin/metrics.csv"):
        with (path / name).open("ab") as file:
            file.write(b"\xff\xfe\0,1\n")
    written = report(path)
    assert [
        name in note for name, note in zip(("run/m", "run/i", "twin/m"), written.notes, strict=True)
    ]
    assert written.facts.rows == whole.rows
    assert written.facts.figures() == whole.figures()


def test_an_estimator_that_there_is_not_is_said_of_the_file(tmp_path):
    fixture = Path(__file__).parents[1] / "run" / "v0.1.0" / "trained"
    shutil.copytree(fixture, tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    stored = json.loads(file.read_text())
    stored["conversion"]["estimator"] = "zzz"
    file.write_text(json.dumps(stored))
    with pytest.raises(RunError, match=r'run\.json": there is no estimator "zzz"'):
        report(tmp_path / "run")


def test_the_card_holds_no_markup_of_the_run(tmp_path):
    fixture = Path(__file__).parents[1] / "run" / "v0.1.0" / "trained"
    shutil.copytree(fixture, tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    stored = json.loads(file.read_text())
    stored["weights"], stored["classes"][3] = "<script>alert(1)</script>", "<b>three"
    file.write_text(json.dumps(stored))
    report(tmp_path / "run")
    card = (tmp_path / "run" / "README.md").read_text()
    assert "<script" not in card
    assert "<b>" not in card
    assert "&lt;script>" in card
