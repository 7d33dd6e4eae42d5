"""Ways to spoil an ONNX file that keep most of it: `mutant(file, random)`.

A change picks a place anywhere in the file's messages, more often one of the binarize kernels' nodes and
constants, and puts something odd there that the field's type allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import numpy_helper

DOMAIN, WIDE = "binarize", "binarize.wide"
INTEGERS = (0, -1, 1, 2, 3, 7, 8, 31, 32, 33, 255, 256, 65536, 2**31 - 1, 2**31, 2**32 + 1, 2**40)
INTEGERS += (2**62, 2**63 - 1, -(2**31), -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "x", "binarize", "\x1b[2J", "a" * 5000, "../../x", "\N{SNOWMAN}")


class Place(NamedTuple):
    """A field of a message, or one of its values."""

    message: Message
    field: FieldDescriptor
    index: int | None

    @property
    def words(self) -> str:
        at = "" if self.index is None else f"[{self.index}]"
        return f"{self.message.DESCRIPTOR.name}.{self.field.name}{at}"


def mutant(content: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """(how, bytes): the file after one or two changes."""
    if random.random() < 0.1:
        return "bytes", turned(content, random)
    model = onnx.ModelProto.FromString(content)
    hows = []
    for _ in range(random.integers(1, 3)):
        change = CHANGES[random.integers(len(CHANGES))]
        hows.append(change(model, random))
    return ", ".join(hows), model.SerializePartialToString()


def turned(content: bytes, random: np.random.Generator) -> bytes:
    """Some bits turned, and perhaps the end missing."""
    flipped = bytearray(content)
    for at in random.integers(0, len(content), random.integers(1, 6)):
        flipped[at] ^= 1 << int(random.integers(8))
    return bytes(flipped[: random.integers(len(flipped))] if random.random() < 0.2 else flipped)


def somewhere(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Any field of any message."""
    return odd(model, list(places(model)), random)


def in_a_kernel(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A field of a node of the kernels: an attribute, an edge, a name."""
    node = _chosen([node for node in model.graph.node if node.domain in (DOMAIN, WIDE)], random)
    return odd(model, list(places(node if node is not None else model)), random)


def in_a_constant(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A field of one of their constants, which need not fit the others any more."""
    tensor = _constant(model, random)
    return odd(model, list(places(tensor if tensor is not None else model)), random)


def another_constant(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """One of their constants whole, but of another shape, type, length or values."""
    tensor = _constant(model, random)
    if tensor is None:
        return "no constant"
    try:
        value = numpy_helper.to_array(tensor)
    except (ValueError, TypeError):
        return "a constant that an earlier change damaged"
    name, make = list(OTHERS.items())[random.integers(len(OTHERS))]
    with np.errstate(all="ignore"):
        changed = np.array(make(value, random))
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    return f"{tensor.name} {name}"


OTHERS: dict[str, Callable[[np.ndarray, np.random.Generator], Any]] = {
    "shorter": lambda value, random: value[: random.integers(0, max(1, len(value)))],
    "longer": lambda value, random: np.concatenate([value, value, value]),
    "empty": lambda value, random: value[:0],
    "a number": lambda value, random: value.reshape(-1)[0] if value.size else value,
    "rank more": lambda value, random: value[None],
    "flat": lambda value, random: value.reshape(-1),
    "turned": lambda value, random: value.T,
    "double": lambda value, random: value.astype(np.float64),
    "half": lambda value, random: value.astype(np.float16),
    "int8": lambda value, random: value.astype(np.int8),
    "int64": lambda value, random: value.astype(np.int64),
    "uint32": lambda value, random: value.astype(np.uint32),
    "bool": lambda value, random: value.astype(bool),
    "float": lambda value, random: value.astype(np.float32),
    "text": lambda value, random: value.astype(str).astype(object),
    "odd values": lambda value, random: np.where(
        random.random(value.shape) < 0.2, _chosen(FLOATS, random), value.astype(np.float32)
    ).astype(value.dtype),
}


def rewired(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A node reads or writes something else, once more, or nothing in the place of it."""
    node = _chosen(list(model.graph.node), random)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)]
    ends = node.input if random.random() < 0.6 else node.output
    kind = random.integers(4)
    at = int(random.integers(max(1, len(ends))))
    if kind == 0 or not ends:
        ends.append(_chosen(names, random))
    elif kind == 1:
        del ends[at]
    else:
        ends[at] = "" if kind == 2 else _chosen(names, random)
    return f"{node.name or node.op_type} rewired"


def another_op(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """A node is of another op, of those in the file or of all that the kernels know."""
    from binarize.exporting.functions import ALL_OPS

    kernels = [node for node in model.graph.node if node.domain in (DOMAIN, WIDE)]
    node = _chosen(kernels or list(model.graph.node), random)
    before = node.op_type
    node.op_type = _chosen(
        [*ALL_OPS, "Stem", *{other.op_type for other in model.graph.node}], random
    )
    if random.random() < 0.2:
        node.domain = _chosen(["", DOMAIN, WIDE, "com.microsoft"], random)
    if random.random() < 0.7:  # the kernel itself, and not what a function says of it
        kept = [one for one in model.functions if one.name != node.op_type]
        del model.functions[:]
        model.functions.extend(kept)
    return f"{before} is {node.op_type}"


def without_functions(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Only the kernels say what their nodes mean."""
    del model.functions[:]
    return "without functions"


def another_input(model: onnx.ModelProto, random: np.random.Generator) -> str:
    """Images of another size, rank or type."""
    if not model.graph.input:
        return "no input"
    kind = model.graph.input[0].type.tensor_type
    if random.random() < 0.2:
        kind.elem_type = int(random.integers(24))
    elif random.random() < 0.3:
        kind.shape.dim.add(dim_value=int(random.integers(3)))
    elif kind.shape.dim:
        at = int(random.integers(len(kind.shape.dim)))
        kind.shape.dim[at].dim_value = int(
            _chosen([0, 1, 2, 3, 4, 5, 17, 33, 64, -1, 4096], random)
        )
    return "another input"


CHANGES = (
    *(somewhere, in_a_kernel, in_a_kernel, in_a_constant, another_constant, another_constant),
    *(rewired, another_op, another_op, without_functions, another_input),
)


def places(message: Message) -> Iterator[Place]:
    """Of all that is in a message."""
    for field, value in message.ListFields():
        many = not isinstance(value, (str, bytes, int, float, Message))
        yield Place(message, field, None)
        for index, one in enumerate(value if many else [value]):
            if many and index < 64:
                yield Place(message, field, index)
            if isinstance(one, Message):
                yield from places(one)


def odd(model: onnx.ModelProto, where: list[Place], random: np.random.Generator) -> str:
    """Something odd at one of these places."""
    if not where:
        return "nowhere"
    place = _chosen(where, random)
    message, field, index = place
    value = getattr(message, field.name)
    if index is not None:
        _one_of(model, place, random)
    elif isinstance(value, (str, bytes, int, float)):
        setattr(message, field.name, another(model, field, value, random))
    elif isinstance(value, Message) or random.random() < 0.5:
        message.ClearField(field.name)
    else:
        extra = list(value) * int(_chosen([1, 1, 50], random))
        value.extend(extra[:5000])
    return place.words


def _one_of(model: onnx.ModelProto, place: Place, random: np.random.Generator) -> None:
    """One of many values is gone, there twice, at another's place, or odd itself."""
    values = getattr(place.message, place.field.name)
    value = values[place.index]
    kind = random.integers(4)
    if kind == 0:
        del values[place.index]
    elif kind == 1:
        values.append(value)
    elif isinstance(value, Message):
        value.CopyFrom(values[random.integers(len(values))])
    else:
        values[place.index] = another(model, place.field, value, random)


def another(
    model: onnx.ModelProto, field: FieldDescriptor, value: Any, random: np.random.Generator
) -> Any:
    """A value of the same type that is odd, or right somewhere else in the file."""
    if isinstance(value, str):
        if random.random() < 0.6:
            return _chosen([str(getattr(p.message, p.field.name)) for p in _texts(model)], random)
        return _chosen(TEXTS, random)
    if isinstance(value, bytes):
        kind = random.integers(4)
        return (
            value[: random.integers(len(value) + 1)],
            value * 3,
            b"",
            turned(value or b"x", random),
        )[kind]
    if field.enum_type is not None:  # what is not one of them cannot even be set
        return int(_chosen([one.number for one in field.enum_type.values], random))
    if isinstance(value, int):
        if random.random() < 0.3:
            value += int(_chosen([1, -1], random))
        else:
            value = int(_chosen(INTEGERS, random))
        bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
        return max(-(1 << bits), min(value, (1 << bits) - 1))
    return float(_chosen(FLOATS, random))


def _texts(model: onnx.ModelProto) -> list[Place]:
    return [
        place
        for place in places(model.graph)
        if place.index is None
        and place.field.type == FieldDescriptor.TYPE_STRING
        and isinstance(getattr(place.message, place.field.name), str)
    ]


def _constant(model: onnx.ModelProto, random: np.random.Generator) -> onnx.TensorProto | None:
    """One that a node of the kernels reads."""
    read = {
        name for node in model.graph.node if node.domain in (DOMAIN, WIDE) for name in node.input
    }
    return _chosen([tensor for tensor in model.graph.initializer if tensor.name in read], random)


def _chosen(values: Any, random: np.random.Generator) -> Any:
    """One of them, and None of none."""
    return values[random.integers(len(values))] if len(values) else None
