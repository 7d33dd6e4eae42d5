"""onnxruntime sessions of exported files, with errors that say what is wrong with a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from binarize.errors import ExportError
from binarize.kernels import computes_wide, installed
from binarize.run import InvalidRecord
from binarize.run.model import LARGEST_SIZE
from binarize.runtime.metadata import FileInfo

ERRORS_ONLY = 3
AGAIN = "export the run again: binarize export RUN --onnx"
DOMAIN = "binarize"
"""Of the nodes that the binarize kernels compute, and of the functions that say what they mean."""
WIDE = "binarize.wide"
"""The same ops once more, for layers whose kernels pay off with wide vectors alone: where the CPU has none,
the functions compute them."""
DOMAINS = (DOMAIN, WIDE)
PIXELS = "tensor(uint8)"
"""What onnxruntime calls the type of images as they are stored."""
NATIVE = "native"
"""The form of a file whose nodes only the binarize kernels can compute."""


@dataclass(frozen=True)
class Session:
    """An exported file, loaded.

    Attributes:
        path: the file.
        info: what it says about itself.
        runner: onnxruntime's session.
        kernels: whether the binarize kernels compute its nodes.
    """

    path: Path
    info: FileInfo
    runner: ort.InferenceSession
    kernels: bool = False

    def logits(self, images: np.ndarray) -> np.ndarray:
        """float32[N, C, H, W], or uint8[N, H, W, 3] where preprocessing is inside, -> float32[N, classes]:
        logits, or probabilities. Raises ExportError as `answer` does."""
        (taken,) = self.runner.get_inputs()
        kind = np.uint8 if taken.type == PIXELS else np.float32
        return answer(self.path, self.runner, {taken.name: np.asarray(images, dtype=kind)})


def open_session(
    path: str | Path, threads: int | None = None, kernels: bool = False, **settings: Any
) -> Session:
    """Load an exported file in onnxruntime, on the CPU: stock, or with the binarize kernels where `kernels`
    and `uses_kernels`.

    `threads` are those within an operator; None leaves it to onnxruntime, which takes all cores.
    `settings` are further ones of `quiet_session`. The optimised graph is never saved: it holds the
    binary weights as floats. Raises ExportError for a file that is missing, corrupt, truncated, not written
    by binarize, or native where there are no kernels to run it.
    """
    path = Path(path)
    info = metadata(path)
    kernels = kernels and uses_kernels(path)
    if info.form == NATIVE and not kernels:
        raise needs_kernels(path)
    return Session(path, info, load(path, threads, kernels, **settings), kernels)


def answer(path: Path, runner: ort.InferenceSession, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The logits, float32[N, classes], of the session of a file. Raises ExportError where it cannot run on
    these images, and where what it answers is no logits."""
    (images,) = feed.values()
    (taken,) = runner.get_inputs()
    try:
        logits = runner.run(None, {name: np.ascontiguousarray(x) for name, x in feed.items()})[0]
    except Exception as error:  # onnxruntime's errors have no common base
        raise ExportError(
            f'"{path}" cannot run on images of {list(images.shape)}: {_reason(error)}',
            f"it takes images of {'x'.join(map(str, taken.shape[1:]))}",
        ) from error
    if not isinstance(logits, np.ndarray) or logits.shape[:1] != (len(images),):
        kind, shape = getattr(logits, "dtype", type(logits).__name__), list(np.shape(logits))
        raise ExportError(
            f'"{path}" answers {len(images)} images with {kind} {shape}, not with logits',
            AGAIN,
        )
    return logits


def needs_kernels(path: str | Path) -> ExportError:
    """What is wrong with a native file in stock onnxruntime."""
    return ExportError(
        f'"{path}" is of the form {NATIVE}, which needs the binarize kernels',
        "omit --no-kernels where they are installed, or export the packed form",
    )


def load(
    path: Path, threads: int | None = None, kernels: bool = False, **settings: Any
) -> ort.InferenceSession:
    """`quiet_session` of a file, which need not be written by binarize. Raises ExportError where onnxruntime
    refuses it, and where it takes anything but images of one size."""
    try:
        runner = quiet_session(str(path), threads, kernels, **settings)
    except Exception as error:  # onnxruntime's errors have no common base
        raise ExportError(
            f'onnxruntime {ort.__version__} refuses "{path}": {_reason(error)}', AGAIN
        ) from error
    inputs = runner.get_inputs()
    if not (len(inputs) == 1 and _is_images(inputs[0]) and runner.get_outputs()):
        told = ", ".join(f"{one.type} {one.shape}" for one in inputs) or "nothing"
        raise ExportError(f'"{path}" takes {told}, not a batch of images of one size', AGAIN)
    return runner


def _is_images(taken: Any) -> bool:
    """Whether a session's input is float32[N, …] of which only N may vary, clips and vectors included, or
    uint8[N, H, W, 3]."""
    sizes = taken.shape[1:]
    of_pixels = taken.type == PIXELS and len(sizes) == 3 and sizes[-1] == 3
    return (
        (taken.type == "tensor(float)" or of_pixels)
        and len(sizes) > 0
        and all(isinstance(size, int) and size > 0 for size in sizes)
        and math.prod(sizes) <= 3 * LARGEST_SIZE**2
    )


def uses_kernels(path: str | Path) -> bool:
    """Whether this installation has the binarize kernels and the file has nodes for them on this CPU. Raises
    ExportError as `open_session` does."""
    if installed() is None:
        return False
    computed = DOMAINS if computes_wide() else (DOMAIN,)
    return any(node.domain in computed for node in _read(Path(path)).graph.node)


def last_operator(path: str | Path) -> str:
    """The operator that makes the logits: "Gemm", "Sigmoid". Raises ExportError as `open_session` does."""
    graph = _read(Path(path)).graph
    made = (node.op_type for node in graph.node if graph.output[0].name in node.output)
    return next(made, "")


def quiet_session(
    model: str | bytes,
    threads: int | None = None,
    kernels: bool = False,
    *,
    spinning: bool = True,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """onnxruntime's own session of a file, or of a model in memory, on the CPU.

    `kernels`: with the binarize kernels, where this installation has them. `spinning`: its idle threads look
    for work instead of sleeping, onnxruntime's default. `profile`: what the name of the file begins with that
    `end_profiling` writes.
    """
    options = ort.SessionOptions()
    library = installed() if kernels else None
    if library is not None:
        options.register_custom_ops_library(str(library))
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def metadata(path: str | Path) -> FileInfo:
    """What the file says about itself. Raises ExportError as `open_session` does."""
    path = Path(path)
    model = _read(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    try:
        return FileInfo.from_properties(properties)
    except InvalidRecord as problem:
        raise ExportError(
            f'"{path}" does not describe itself as binarize export does: {problem}',
            AGAIN,
        ) from problem


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ExportError(f'there is no file "{path}"', "binarize export RUN --onnx writes one")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise _damaged(path) from error
    if not model.graph.node:
        raise _damaged(path)
    return model


def _damaged(path: Path) -> ExportError:
    return ExportError(
        f'"{path}" is corrupt, truncated or no ONNX file',
        AGAIN,
    )


def _reason(error: Exception) -> str:
    """The words of an onnxruntime error without its `[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : `."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rpartition(" : ")[2]
