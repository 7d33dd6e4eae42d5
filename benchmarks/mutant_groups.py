"""Which code mutants.py changes, and which tests are to see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mutant_tests import ROOT


@dataclass(frozen=True)
class Group:
    """Code and the tests that belong to it: paths, patterns, and test files that take too long here."""

    code: tuple[str, ...]
    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        return [file for pattern in self.code for file in sorted(ROOT.glob(pattern))]

    @property
    def test_files(self) -> list[Path]:
        found = [
            file
            for path in self.tests
            for file in sorted((ROOT / path).parent.glob(Path(path).name))
        ]
        whole = [
            file
            for path in found
            for file in (sorted(path.glob("test_*.py")) if path.is_dir() else [path])
        ]
        return [file for file in whole if file.name not in self.left_out]


TRAINING = (
    "alone",
    "checkpoint",
    "plan",
    "records",
    "resume",
    "start",
    "tensor_tree",
    "training_state",
)
GROUPS = {
    "layers": Group(
        ("binarize/estimators/*.py", "binarize/packing.py", "binarize/layers/**/*.py"),
        ("tests/estimators", "tests/layers", "tests/test_packing.py"),
    ),
    "export": Group(
        ("binarize/exporting/passes/*.py",),
        ("tests/export",),
        (
            # whole models and files, in minutes
            "test_bases_files.py",
            "test_binary_inputs.py",
            "test_classifier_storage.py",
            "test_compressed_files.py",
            "test_dimension_names.py",
            "test_export_models.py",
            "test_form_files.py",
            "test_form_ops.py",
            "test_fused_files.py",
            "test_rounding.py",
            "test_size.py",
            "test_stock_runtime.py",
            "test_validation.py",
            # ops alone, which no pass makes
            "test_binary_ops.py",
            "test_fused_ops.py",
            "test_ops.py",
        ),
    ),
    "run": Group(
        ("binarize/recipe/*.py", "binarize/run/*.py"),
        ("tests/recipe", "tests/run"),
        ("test_hostile_files.py", "test_version_0_1.py", "test_weights_bytes.py"),  # minutes
    ),
    "training": Group(
        tuple(f"binarize/training/{name}.py" for name in TRAINING),
        ("tests/train",),
        (
            *(
                "test_train_run.py",
                "test_train_stages.py",
                "test_train_killed.py",
                "test_train_processes.py",
                "test_train_two_processes.py",
            ),  # of other processes
            *(
                "test_train_activations.py",
                "test_train_device.py",
                "test_train_engine.py",
                "test_train_indicators.py",
            ),
            *(
                "test_train_optim.py",
                "test_train_waits.py",
                "test_tensorboard.py",
            ),  # of other files
        ),
    ),
}
