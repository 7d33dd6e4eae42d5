"""onnxruntime's own static int8 quantisation of a float model: the peer that needs no training."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from binarize.errors import ExportError
from binarize.runtime.memory import noise
from binarize.runtime.session import load

IMAGES = 8


def quantise(float_file: Path, out: Path) -> None:
    """Write `out`: QDQ nodes, int8 weights with a scale per channel, uint8 activations whose ranges are
    the least and largest values that `IMAGES` images of seeded noise give.

    The ranges make no difference to its speed; as a classifier it would want real images. Raises
    ExportError where onnxruntime cannot quantise the model.
    """
    from onnxruntime import quantization as q

    prepared = out.with_suffix(".prepared.onnx")
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises, through the root logger, what is done here
    try:
        q.quant_pre_process(str(float_file), str(prepared), skip_symbolic_shape=True)
        q.quantize_static(
            str(prepared),
            str(out),
            Noise(float_file),
            quant_format=q.QuantFormat.QDQ,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            per_channel=True,
        )
    except Exception as error:  # onnxruntime's errors have no common base
        raise ExportError(
            f"onnxruntime cannot quantise the float model to int8: {str(error).splitlines()[0]}",
            "omit --int8-baseline",
        ) from error
    finally:
        logging.root.setLevel(before)
        prepared.unlink(missing_ok=True)


class Noise:
    """A CalibrationDataReader of onnxruntime (which asks for `get_next`): one image of noise at a time."""

    def __init__(self, file: Path) -> None:
        ((self.name, images),) = noise(load(file, 1), IMAGES).items()
        self.images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}
