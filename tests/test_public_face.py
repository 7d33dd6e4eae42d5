"""What `import binarize` offers, and what it costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import binarize
from binarize.errors import BinarizeError

NAMES = [
    "Schedule",
    "__version__",
    "bench",
    "compare",
    "convert",
    "estimators",
    "evaluate",
    "export",
    "load",
    "ort_library",
    "own_code",
    "predict",
    "report",
    "sensitivity",
    "train",
]
FUNCTIONS = [name for name in NAMES if name not in ("Schedule", "__version__", "estimators")]


def test_the_face_is_this_and_no_more():
    assert sorted(binarize.__all__) == NAMES
    assert set(NAMES) <= set(dir(binarize))


def test_importing_it_imports_no_torch():
    script = "import sys, binarize; binarize.__version__; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="binarize"):
        binarize.distill  # noqa: B018


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("convert", {"model_or_name", "estimator", "keep", "include", "submodule", "checkpoint"}),
        ("load", {"run"}),
        ("sensitivity", {"model_or_name", "calib_data", "calib_images", "options"}),
        ("compare", {"recipe", "estimators", "seeds", "target", "data_dir"}),
        ("report", {"run"}),
        ("train", {"recipe", "target", "data_dir", "resume"}),
        ("export", {"model_or_run", "path"}),
        ("evaluate", {"targets", "data_dir", "limit", "kernels"}),
        ("predict", {"target", "images", "top", "on_error", "html", "kernels"}),
        ("bench", {"files", "threads", "batch", "rounds", "kernels", "int8_baseline", "profile"}),
    ],
)
def test_functions_tell_their_parameters(name, parameters):
    assert parameters <= set(inspect.signature(getattr(binarize, name)).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_are_plain_functions_of_a_module_with_another_name(name):
    function = getattr(binarize, name)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    assert function.__name__ == name
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"binarize.{name}")


def test_importing_the_package_of_a_function_leaves_the_function():
    for name in ("training", "exporting", "evaluation", "comparing", "reporting", "benching"):
        importlib.import_module(f"binarize.{name}")
    assert all(inspect.isfunction(getattr(binarize, name)) for name in FUNCTIONS)
    assert type(binarize) is type(inspect)


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: binarize.convert("resnet18", estimater="ste"), "estimator"),
        (lambda: binarize.train("digits", "resnet18", data_dirs="x"), "data_dir"),
        (lambda: binarize.export("run", "x.onnx", clasifier="fp16"), "classifier"),
        (lambda: binarize.evaluate("run", limits=1), "limit"),
        (lambda: binarize.bench("x.onnx", thread=1), "threads"),
        (lambda: binarize.predict("run", "x.png", tops=1), "top"),
        (lambda: binarize.compare("digits", estimator="ste"), "estimators"),
    ],
)
def test_an_argument_that_there_is_not_is_a_type_error_that_names_the_near_word(call, near):
    with pytest.raises(TypeError, match=f'"{near}"'):
        call()


def test_what_include_was_called_before_is_read_with_a_warning(monkeypatch):
    seen = []

    def make(target, options, *_, **__):
        seen.append(options.include)
        raise BinarizeError("enough")

    monkeypatch.setattr("binarize.api.make", make)
    with (
        pytest.raises(BinarizeError, match="enough"),
        pytest.warns(DeprecationWarning, match="include"),
    ):
        binarize.convert("resnet18", include=["a"], force=["b"])
    assert seen == [("a", "b")]


def test_estimators_give_surrogate_gradients():
    import torch

    gradient = binarize.estimators.get("ab-tanh").surrogate_grad(torch.zeros(3), 0.5)
    assert gradient.shape == (3,)
    assert (gradient > 0).all()


def test_python_dash_m_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "binarize", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"binarize {binarize.__version__}\n")
