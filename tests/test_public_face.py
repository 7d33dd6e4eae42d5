"""What `import binarize` offers, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import binarize

NAMES = [
    "__version__",
    "bench",
    "compare",
    "convert",
    "estimators",
    "evaluate",
    "export",
    "load",
    "ort_library",
    "report",
    "train",
]


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
        ("convert", {"model_or_name", "estimator", "keep", "force", "submodule", "checkpoint"}),
        ("load", {"run"}),
        ("compare", {"recipe", "estimators", "seeds", "target", "data_dir"}),
        ("report", {"run"}),
        ("train", {"recipe", "target", "data_dir", "resume"}),
        ("export", {"model_or_run", "path"}),
        ("evaluate", {"targets", "data_dir", "limit", "kernels"}),
        ("bench", {"files", "threads", "batch", "rounds", "kernels", "int8_baseline", "profile"}),
    ],
)
def test_functions_tell_their_parameters(name, parameters):
    assert parameters <= set(inspect.signature(getattr(binarize, name)).parameters)


def test_a_package_of_a_functions_name_is_both():
    import binarize.evaluation.parity as parity

    assert binarize.evaluation.parity is parity
    assert callable(binarize.evaluate)
    assert "top-1" in inspect.getdoc(binarize.evaluate)


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
