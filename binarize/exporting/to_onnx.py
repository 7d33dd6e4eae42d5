"""A float module to an ONNX graph, by torch's own exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch
from torch import Tensor, nn

from binarize.errors import ExportError
from binarize.models import tensors_in
from binarize.models.attributes import set_attribute

Size = tuple[int, ...]
INPUT, OUTPUT = "image", "logits"
BATCH_NAME = "batch"
BATCH = 2
"""Of the example: 0 and 1 would be taken for constants."""


def to_onnx_graph(model: nn.Module, size: Size, opset: int) -> ir.Model:
    """The graph of `model`, image float32[N, C, H, W] -> logits, for any N. A model that answers with more
    tensors has further outputs, under the exporter's names.

    `model` is changed: it answers with a tuple, the logits first, and fused attention, which has no ONNX form
    below opset 23, is switched off.
    Initializers carry the names of the parameters, the first one where there are several. Raises
    ExportError where torch cannot export it.
    """
    _unfuse_attention(model)
    model.register_forward_hook(_as_tuple)  # torch.export knows no dataclasses
    image = torch.zeros(BATCH, *size)
    dynamic = ({0: torch.export.Dim("batch")},)
    try:
        with torch.no_grad(), _no_fast_path(), quiet():
            program = torch.export.export(model, (image,), dynamic_shapes=dynamic, strict=False)
            exported = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                opset_version=opset,
                input_names=[INPUT],
                verbose=False,
            )
    except Exception as error:  # torch raises what its tracing meets: no common base
        raise ExportError(
            f"torch cannot export this model to ONNX: {_reason(error)}",
            "BINARIZE_TRACEBACK=1 shows where; models known to work: binarize models ls",
        ) from error
    assert exported is not None  # it is only None where torch was to write a file
    exported.model.graph.outputs[0].name = OUTPUT
    _name_batch(exported.model)
    _name_parameters(exported.model.graph, model)
    return exported.model


def _name_batch(model: ir.Model) -> None:
    """Call the images' first dimension `batch`, wherever it is; torch.export numbers it, as in "s77"."""
    shape = model.graph.inputs[0].shape
    own = str(shape[0].value) if shape is not None and not isinstance(shape[0], int) else ""
    if not own:
        return
    values = [*model.graph.inputs, *model.graph.outputs]
    values += [value for node in model.graph.all_nodes() for value in node.outputs]
    name = re.compile(rf"\b{re.escape(own)}\b")
    for value in values:
        sizes = value.shape
        for axis, dim in enumerate(sizes or ()):
            if sizes is not None and not isinstance(dim, int) and dim.value is not None:
                sizes[axis] = name.sub(BATCH_NAME, str(dim.value))


def _reason(error: BaseException) -> str:
    """The first line of what went wrong first: torch wraps it in advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = str(error).strip() or type(error).__name__
    return words.splitlines()[0]


def _as_tuple(model: nn.Module, inputs: object, output: object) -> tuple[Tensor, ...]:
    return tuple(tensors_in(output))


def _name_parameters(graph: ir.Graph, model: nn.Module) -> None:
    """torch.export calls a parameter that has several names by any of them."""
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        own = first.setdefault(id(parameter), name)
        if own != name and name in graph.initializers:
            value = graph.initializers.pop(name)
            value.name = own
            graph.initializers.add(value)


def _unfuse_attention(model: nn.Module) -> None:
    """timm's attention chooses its form when it is made, by this attribute."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            set_attribute(module, "fused_attn", False)


@contextlib.contextmanager
def _no_fast_path() -> Iterator[None]:
    """nn.MultiheadAttention without its fused kernel, which has no ONNX form."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what the exporter prints, logs or warns about reaches the user."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
