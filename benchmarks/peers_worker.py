"""One variant of peers.py, in a process of its own: `python benchmarks/peers_worker.py KIND FILE THREADS
BATCH`.

Says one line of JSON when it is ready ({"versions": …}, or {"absent": why}), and from then on answers
every line on stdin with the seconds of one run; a run before it, which is not timed, finds the caches as
others left them. A process for each, because OpenVINO, TensorFlow and onnxruntime bring thread pools of their
own, and TensorFlow an older numpy than torch takes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

Run = Callable[[], object]
SIZE, CLASSES = 224, 1000
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels and first stride of ResNet-18's stages, two blocks of two convolutions each."""


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def onnxruntime(file: str, threads: int, batch: int, kernels: bool = False) -> Run:
    """A file in onnxruntime, stock or with the binarize kernels."""
    from pathlib import Path

    from binarize.runtime.session import load

    session = load(Path(file), threads, kernels, spinning=threads == 1)
    feed = {session.get_inputs()[0].name: noise(batch, 3, SIZE, SIZE)}
    return lambda: session.run(None, feed)


def openvino(model: Any, threads: int, batch: int, precision: str) -> Run:
    """A file, or a model of OpenVINO's own ops, in OpenVINO."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(model) if isinstance(model, str) else model
    model.reshape([batch, 3, SIZE, SIZE])
    compiled = core.compile_model(
        model,
        "CPU",
        {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision},
    )
    request = compiled.create_infer_request()
    images = ov.Tensor(noise(batch, 3, SIZE, SIZE))
    request.set_input_tensor(images)
    return request.infer


def openvino_binary(file: str, threads: int, batch: int) -> Run:
    """Bi-Real-Net-18 of OpenVINO's BinaryConvolution, each behind a two-level FakeQuantize."""
    import openvino as ov
    from openvino import opset1 as op

    def conv(x: Any, channels: int, kernel: int, stride: int) -> Any:
        weight = 0.05 * noise(
            channels, x.get_output_partial_shape(0)[1].get_length(), kernel, kernel
        )
        pads = [kernel // 2] * 2
        return op.convolution(x, op.constant(weight), [stride] * 2, pads, pads, [1, 1])

    def binary(x: Any, channels: int, stride: int) -> Any:
        inputs = x.get_output_partial_shape(0)[1].get_length()
        zero, one = (op.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (0, 1))
        signs = op.fake_quantize(x, zero, zero, op.constant(np.float32(-1)), one, 2)
        bits = (noise(channels, inputs, 3, 3) >= 0).ravel().astype(int)
        filters = ov.op.Constant(ov.Type.u1, ov.Shape([channels, inputs, 3, 3]), bits.tolist())
        pads = [1, 1], [1, 1]
        y = op.binary_convolution(signs, filters, [stride] * 2, *pads, [1, 1], "xnor-popcount", 0.0)
        scale = op.constant(np.full((1, channels, 1, 1), 0.01, np.float32))
        return op.add(op.multiply(y, scale), scale)

    image = op.parameter([batch, 3, SIZE, SIZE], np.float32)
    x = op.relu(conv(image, 64, 7, 2))
    x = op.max_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], "floor")
    for channels, first in STAGES:
        for stride in (first, 1, 1, 1):
            skip = x if stride == 1 else conv(x, channels, 1, stride)
            x = op.add(binary(x, channels, stride), skip)
    x = op.reduce_mean(x, op.constant(np.array([2, 3])), False)
    logits = op.matmul(x, op.constant(noise(512, CLASSES)), False, False)
    return openvino(ov.Model([logits], [image]), threads, batch, "f32")


def larq(file: str, threads: int, batch: int) -> Run:
    """Bi-Real-Net-18 of Larq's layers, converted here and run by Larq Compute Engine's interpreter."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Larq knows no Keras 3
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import larq
    import larq_compute_engine
    import tensorflow as tf
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    layers = tf.keras.layers

    def binary(x: Any, channels: int, stride: int) -> Any:
        signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
        signs["kernel_constraint"] = "weight_clip"
        shape = {"strides": stride, "padding": "same", "pad_values": 1, "use_bias": False}
        return layers.BatchNormalization()(
            larq.layers.QuantConv2D(channels, 3, **shape, **signs)(x)
        )

    def conv(x: Any, channels: int, kernel: int, stride: int) -> Any:
        x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = layers.Input((SIZE, SIZE, 3), batch_size=batch)
    x = layers.ReLU()(conv(image, 64, 7, 2))
    x = layers.MaxPool2D(3, 2, padding="same")(x)
    for channels, first in STAGES:
        for stride in (first, 1, 1, 1):
            skip = x if stride == 1 else conv(x, channels, 1, stride)
            x = layers.Add()([binary(x, channels, stride), skip])
    logits = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x))
    flat = larq_compute_engine.convert_keras_model(tf.keras.Model(image, logits))
    interpreter = Interpreter(flat, num_threads=threads, use_xnnpack=True)
    images = noise(batch, SIZE, SIZE, 3)
    return lambda: interpreter.predict(images)


KINDS: dict[str, tuple[Callable[..., Run], dict[str, Any], tuple[str, ...]]] = {
    "onnxruntime": (onnxruntime, {}, ("onnxruntime",)),
    "kernels": (onnxruntime, {"kernels": True}, ("onnxruntime",)),
    "openvino": (openvino, {"precision": "f32"}, ("openvino",)),
    "openvino-bf16": (openvino, {"precision": "bf16"}, ("openvino",)),
    "openvino-binary": (openvino_binary, {}, ("openvino",)),
    "larq": (larq, {}, ("tensorflow-cpu", "larq", "larq-compute-engine")),
}


def main(kind: str, file: str, threads: str, batch: str) -> None:
    said = os.dup(1)  # what libraries print goes to stderr
    os.dup2(2, 1)
    with os.fdopen(said, "w") as answers:
        build, options, packages = KINDS[kind]
        try:
            run = build(file, int(threads), int(batch), **options)
        except ImportError as missing:
            print(json.dumps({"absent": str(missing)}), file=answers, flush=True)
            return
        versions = {package: version(package) for package in packages}
        print(json.dumps({"versions": versions}), file=answers, flush=True)
        for _ in sys.stdin:
            run()
            began = time.perf_counter()
            run()
            print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
