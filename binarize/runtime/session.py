"""onnxruntime sessions over files that `export` wrote, and the metadata that such a file carries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from binarize.errors import ExportError

PREFIX = "binarize."
"""Of our keys in metadata_props, each holding JSON."""


@dataclass(frozen=True)
class Metadata:
    """What an ONNX file says about itself; everything that evaluation needs.

    Attributes:
        form: the kind of file, "packed" or "float".
        model: the model's name.
        preprocess: `{"img_size", "mean", "std", "interpolation", "crop_pct"}`.
        data: `{"name"}` of the data set it was trained on; empty where there was none.
        classes: names in the order of the logits; empty where unknown.
        weights: where the weights came from, in words.
        conversion: the options it was binarized with, or None.
        recipe: YAML of the recipe it was trained by, or None.
        versions: of the packages that wrote it.
    """

    form: str
    model: str
    preprocess: dict[str, Any]
    data: dict[str, Any]
    classes: list[str]
    weights: str
    conversion: dict[str, Any] | None
    recipe: str | None
    versions: dict[str, str]

    def as_props(self) -> dict[str, str]:
        """The entries of metadata_props."""
        return {PREFIX + name: json.dumps(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Session:
    """An ONNX file in onnxruntime, on the CPU."""

    path: Path
    session: onnxruntime.InferenceSession

    @property
    def size(self) -> tuple[int, ...]:
        """Channels, height and width of the image."""
        return tuple(self.session.get_inputs()[0].shape[1:])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """float32[N, C, H, W] -> float32[N, classes]. Raises ExportError for images of another shape."""
        try:
            return self.session.run(None, {self.session.get_inputs()[0].name: images})[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise ExportError(
                f'"{self.path}" cannot run images of shape {list(images.shape)}: {_first_line(error)}',
                f"it takes images of shape {list(self.size)}",
            ) from error


def open_session(path: str | Path, threads: int | None = None) -> Session:
    """Open a file in stock onnxruntime.

    `threads`: of one run; None leaves the choice to onnxruntime. The optimised model is never written:
    that would unpack the weights again. Raises ExportError for a file that is missing, truncated, corrupt
    or no ONNX.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    path = Path(path)
    if not path.is_file():
        raise ExportError(f'there is no file "{path}"', "binarize export RUN --onnx writes one")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise ExportError(
            f'"{path}" cannot be opened by onnxruntime: {_first_line(error)}',
            "it is truncated, corrupt or no ONNX file: export it again",
        ) from error
    return Session(path, session)


def metadata(path: str | Path) -> Metadata:
    """What the file at `path` says about itself. Raises ExportError where `export` did not write it."""
    props = open_session(path).session.get_modelmeta().custom_metadata_map
    try:
        return Metadata(
            **{name: json.loads(props[PREFIX + name]) for name in Metadata.__dataclass_fields__}
        )
    except (KeyError, ValueError) as error:
        raise ExportError(
            f'"{path}" does not say how its images are prepared',
            "evaluate a file that binarize export wrote",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
