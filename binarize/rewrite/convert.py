"""Convert a model: capture, select, operate, swap, verify. The module tree given is changed in place."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from torch import nn

from binarize.errors import ModelError
from binarize.imgsize import img_size_of, img_size_text
from binarize.layers import activation, binarize_weight, binary_weights, layer_name
from binarize.progress import Progress
from binarize.rewrite.capture import Size, Trace
from binarize.rewrite.inventory import Layer, inventory
from binarize.rewrite.model_part import ModelPart, find_part
from binarize.rewrite.options import Options, matches, options_of, record_of
from binarize.rewrite.select import (
    check_choices,
    kept_reasons,
    multiplied_otherwise,
    unseen_layers,
)
from binarize.rewrite.stem import SMALL, apply_stem, plan_stem, shrinking_stem
from binarize.rewrite.surgery import apply_edits, graphs_reused, plan_edits
from binarize.rewrite.verify import logits, verify_executed, verify_keys, verify_values
from binarize.run import ConversionRecord, Stem
from binarize.run.edits import Edit

SHOWN = 3
"""Examples in a note."""
TRAINED, RANDOM = "trained", "random"
"""What a layer's weights are."""


@dataclass(frozen=True)
class Row:
    """One line of the layer table. Action is "binarized" or "kept"; reason says why kept; activations
    what the layer's input is: "float", "step" or "sign"; bases how many binary weights add up to its own;
    weights whether they came with the model, as far as anyone knows "trained", or are "random"."""

    name: str
    kind: str
    shape: tuple[int, ...]
    source: str
    action: str
    reason: str
    params: int
    macs: int
    activations: str = activation.FLOAT
    bases: int = 1
    weights: str = TRAINED


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        model: the module given, converted.
        rows: the layer table, in the order of execution.
        replay: what `replay` needs to do it again on a fresh module: a run keeps it.
        notes: sentences for the user (a stem that was replaced).
        trace: of the converted model's float form.
    """

    model: nn.Module
    rows: list[Row]
    replay: ConversionRecord
    trace: Trace
    notes: list[str] = field(default_factory=list)


def convert(
    model: nn.Module,
    options: Options,
    size: Size,
    *,
    values: bool = True,
    random_weights: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Binarize `model` in place.

    Args:
        model: float; its class, its state_dict keys and its methods stay.
        options: what to binarize and how.
        size: of the image or clip that it is recorded on.
        values: also compare outputs before and after on noise (False for a dry run: one forward less).
        random_weights: they were asked for, and nothing is lost where `stem: auto` replaces the first
            convolution.
        progress: is told what is being done.

    Raises ModelError where the model does not run or a gate fails, PatternError for a pattern that
    matches nothing or only what cannot be binarized, and for a submodule that there is not.
    """
    if any(True for _ in binary_weights(model)):
        raise ModelError("the model is converted already", "convert the float model it came from")
    progress = progress or Progress()
    progress.task("tracing")
    with graphs_reused():
        plan = _plan(model, options, size, random_weights)
        keys = set(model.state_dict(keep_vars=True))
        before = logits(plan.part) if values else None
        progress.task("binarizing")
        apply_edits(model, plan.edits)
    _swap(model, plan.parameters, options)
    progress.task("verifying")
    verify_keys(keys, model)
    verify_executed(plan.part, plan.chosen, plan.chosen if options.binary_inputs else set())
    if before is not None:
        verify_values(before, plan.part)
    rows = _rows(model, plan.trace, plan.layers, plan.reasons, options)
    return Conversion(model, rows, plan.record(options), plan.trace, plan.notes)


@dataclass(frozen=True)
class _Plan:
    """What a conversion is going to do; only the stem is replaced already."""

    part: ModelPart
    trace: Trace
    layers: list[Layer]
    reasons: dict[str, str]
    stem: Stem | None
    edits: list[Edit]
    notes: list[str]

    @property
    def chosen(self) -> set[str]:
        return {layer.name for layer in self.layers if layer.name not in self.reasons}

    @property
    def parameters(self) -> list[str]:
        """The weights to binarize, under all their names."""
        chosen = [layer for layer in self.layers if layer.name in self.chosen]
        return [name for layer in chosen for name in self.trace.names[layer.parameter]]

    def record(self, options: Options) -> ConversionRecord:
        """What a run keeps."""
        return record_of(options, self.stem, self.parameters, self.edits)


def _plan(model: nn.Module, options: Options, size: Size, random_weights: bool) -> _Plan:
    part = find_part(model, size, options.submodule)
    trace = part.capture()
    layers = inventory(trace)
    notes = []
    stem = plan_stem(model, trace, layers, options.stem, max(size[-2:]), random_weights)
    if stem is not None:
        stem, trace, note = _with_stem(part, trace, stem, options.stem)
        layers = inventory(trace)
        notes.append(note)
    elif options.stem == "auto" and max(size[-2:]) <= SMALL:
        notes += _kept_stem_notes(shrinking_stem(model, trace, layers), size)
    reasons = kept_reasons(
        model,
        trace,
        layers,
        options.keep,
        options.include,
        options.submodule,
        binary_inputs=options.binary_inputs,
    )
    chosen = {layer.name for layer in layers if layer.name not in reasons}
    if not chosen:
        _check_wanted(model, trace, layers, options)
    check_choices(layers, chosen, options.choices)
    skipped: list[tuple[str, str]] = []
    edits = plan_edits(model, trace, layers, chosen, options.structure, skipped)
    if options.structure != "keep":
        notes.append(_surgery_note(edits, skipped))
    return _Plan(part, trace, layers, reasons, stem, edits, notes)


def _check_wanted(model: nn.Module, trace: Trace, layers: list[Layer], options: Options) -> None:
    """Raises ModelError for a model of which nothing becomes binary, unless `keep` is why."""
    rest = (options.include, options.submodule, options.binary_inputs)
    reasons = kept_reasons(model, trace, layers, (), *rest)
    named = [any(matches(layer.name, glob) for glob in options.keep) for layer in layers]
    if layers and (len(reasons) < len(layers) or all(named)):
        return
    reasons |= {name: why for name, _, _, why in unseen_layers(model, layers, options.submodule)}
    why = ", ".join(f"{name} ({reason})" for name, reason in list(reasons.items())[:SHOWN])
    raise ModelError(
        "the model has no layer that can be binarized"
        + (f": {why}{', …' if len(reasons) > SHOWN else ''}" if why else ""),
        "--include binarizes layers that are kept by default; a part that torch.nn.functional and aten "
        "convolutions or linear layers do not compute stays float, and so does all of an exported program "
        "after run_decompositions()",
    )


def _with_stem(
    part: ModelPart, trace: Trace, stem: Stem, option: str
) -> tuple[Stem | None, Trace, str]:
    """The stem that was replaced, the trace after that, and a sentence for the user.

    A network that gives outputs of another size with it keeps its own unless `cifar` was asked for. Raises
    ModelError where it was, and the network does not run with it.
    """
    undo = apply_stem(part.model, stem)
    try:
        after = part.capture()
    except ModelError as error:
        undo()
        if option == "auto":
            return None, trace, f'stem: "{stem.conv}" is kept: the model runs with no other'
        raise ModelError(
            f"{_stem_words(stem)}, the model does not run: {error.message}",
            "omit --stem cifar, or give images of the size that the model was made for",
        ) from error
    if after.output_shapes == trace.output_shapes:
        return stem, after, f"{_stem_words(stem)}, for images of {_side(part.size)} pixels"
    if option == "auto":
        undo()
        return None, trace, f'stem: "{stem.conv}" is kept: with another, outputs change their size'
    before, shape = ("x".join(map(str, t.output_shape[1:])) for t in (trace, after))
    return stem, after, f"{_stem_words(stem)}; the output is {shape}, no longer {before}"


def replay(model: nn.Module, conversion: ConversionRecord) -> nn.Module:
    """Do a conversion again, in place, from what a run keeps of it; nothing is traced.

    Raises BinarizeError where the record does not fit the model.
    """
    options = options_of(conversion)
    try:
        if conversion.replaced_stem is not None:
            apply_stem(model, conversion.replaced_stem)
        apply_edits(model, conversion.edits)
        _swap(model, conversion.parameters, options)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"the conversion does not fit this model: {_reason(error)}",
            "its class has changed since: install the library version that the run names",
        ) from error
    return model


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _swap(model: nn.Module, parameters: list[str], options: Options) -> None:
    """Binarize each parameter once in every module that owns it: a module may have several names."""
    done = set()
    for key in parameters:
        path, _, parameter = key.rpartition(".")
        module = model.get_submodule(path)
        if (id(module), parameter) not in done:
            inputs = options.input_binarizer(module, parameter)
            binarizer = options.binarizer(layer_name(path, parameter))
            binarize_weight(module, parameter, binarizer, inputs)
            done.add((id(module), parameter))


def _rows(
    model: nn.Module,
    trace: Trace,
    layers: list[Layer],
    reasons: dict[str, str],
    options: Options,
) -> list[Row]:
    rows = [
        Row(
            layer.name,
            layer.kind,
            tuple(layer.shape),
            layer.fed_by,
            "kept" if layer.name in reasons else "binarized",
            reasons.get(layer.name, ""),
            layer.params,
            layer.macs,
            activation.FLOAT if layer.name in reasons else options.activations,
            1 if layer.name in reasons else options.binarizer(layer.name).bases,
        )
        for layer in layers
    ]
    for name, kind, shape, reason in unseen_layers(model, layers, options.submodule):
        params = sum(p.numel() for p in model.get_submodule(name).parameters())
        rows.append(Row(name, kind, shape, "", "kept", reason, params, 0))
    for name, function, shape in multiplied_otherwise(model, trace, layers):
        reason = f"multiplied by {function}, not by a convolution or linear layer"
        rows.append(Row(name, function, shape, "", "kept", reason, math.prod(shape), 0))
    return rows


def _stem_words(stem: Stem) -> str:
    pool = f' and without the pooling "{stem.pool}"' if stem.pool else ""
    return f'stem: "{stem.conv}" is now 3x3 with stride 1{pool}'


def _side(size: Size) -> str:
    """`32`, or `24x40` where images are not square."""
    return img_size_text(img_size_of(size[-2:]))


def _kept_stem_notes(stem: Stem | None, size: Size) -> list[str]:
    """Of a stem that makes small images smaller and may be trained: how to replace it all the same."""
    if stem is None:
        return []
    shrinks = f'"{stem.conv}" and "{stem.pool}" shrink' if stem.pool else f'"{stem.conv}" shrinks'
    return [
        f"stem: {shrinks} images of {_side(size)} pixels; --stem cifar puts a 3x3 convolution with random "
        "weights there"
    ]


def _surgery_note(edits: list[Edit], skipped: list[tuple[str, str]]) -> str:
    """How many blocks were edited, and of what could not be: how often and why."""
    done = Counter(edit["pass"] for edit in edits)
    why = Counter(reason for _, reason in skipped)
    left = ", ".join(f"{count} ({reason})" for reason, count in why.most_common(SHOWN))
    return (
        f"structure: {done['replace_relu']} ReLUs replaced, {done['shortcut']} shortcuts added"
        + (f"; left as they are: {left}" if left else "")
    )
