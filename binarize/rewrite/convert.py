"""Convert a model: record, select, swap, verify. The module tree given is changed in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from binarize import estimators
from binarize.errors import BinarizeError, ModelError, did_you_mean
from binarize.layers import (
    InputBinarizer,
    WeightBinarizer,
    activation,
    binarize_weight,
    binary_weights,
    scale,
)
from binarize.rewrite.census import Layer, census
from binarize.rewrite.record import Recording, Size
from binarize.rewrite.select import kept_reasons, unseen_layers
from binarize.rewrite.stem import Stem, apply_stem, plan_stem
from binarize.rewrite.subject import find_subject
from binarize.rewrite.surgery import STRUCTURES, apply_edits, plan_edits
from binarize.rewrite.verify import logits, verify_executed, verify_keys, verify_values

STEMS = ("auto", "keep", "cifar")


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        estimator: a name, or a mapping of "name" and constants.
        scale: a name of `layers.scale`.
        standardise: latent weights per output channel before the estimator.
        keep: globs on layer or module names that stay float.
        stem: "auto" (3x3, no pooling where images are at most 64 pixels wide), "keep" or "cifar".
        force: globs on layers to binarize although a default rule would keep them; `keep` wins.
        submodule: the only part of the model to convert; None means all of it.
        activations: "float", "step" ({0, s}) or "sign" (±1): what a binary layer's input becomes.
        structure: "keep", "bireal" or "reactnet": surgery on the blocks around ±1 inputs.
    """

    estimator: str | Mapping[str, Any] = "ab-tanh"
    scale: str = "channel"
    standardise: bool = True
    keep: tuple[str, ...] = ()
    stem: str = "auto"
    force: tuple[str, ...] = ()
    submodule: str | None = None
    activations: str = activation.FLOAT
    structure: str = "keep"

    def __post_init__(self) -> None:
        if self.stem not in STEMS:
            raise BinarizeError(
                f'there is no stem "{self.stem}"',
                did_you_mean(self.stem, STEMS) or f"the stems are {', '.join(STEMS)}",
            )
        activation.check(self.activations)
        if self.structure not in STRUCTURES:
            raise BinarizeError(
                f'there is no structure "{self.structure}"',
                did_you_mean(self.structure, STRUCTURES)
                or f"the structures are {', '.join(STRUCTURES)}",
            )
        if self.structure != "keep" and self.activations != "sign":
            raise BinarizeError(
                f'structure "{self.structure}" is made for ±1 inputs, not for {self.activations} ones',
                "add --activations sign, or leave --structure away",
            )
        self.binarizer()

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs become binary too (W1A1)."""
        return self.activations != activation.FLOAT

    @property
    def estimator_name(self) -> str:
        return self.estimator if isinstance(self.estimator, str) else self.estimator["name"]

    def binarizer(self) -> WeightBinarizer:
        """A new binarizer of these options. Raises EstimatorError or BinarizeError for unknown names."""
        constants = {} if isinstance(self.estimator, str) else dict(self.estimator)
        constants.pop("name", None)
        estimator = estimators.get(self.estimator_name, **constants)
        return WeightBinarizer(estimator, scale.get(self.scale), self.standardise)

    def input_binarizer(self, module: nn.Module, parameter: str) -> InputBinarizer | None:
        """A new binarizer for what `module.<parameter>` is multiplied by; None where that stays float."""
        if not self.binary_inputs:
            return None
        shape = module._parameters[parameter].shape
        channels = shape[1] * getattr(module, "groups", 1)
        return activation.TABLE[self.activations](channels, 1 - len(shape))


@dataclass(frozen=True)
class Row:
    """One line of the layer table. Action is "binarized" or "kept"; reason says why kept; activations
    what the layer's input is: "float", "step" or "sign"."""

    name: str
    kind: str
    shape: tuple[int, ...]
    source: str
    action: str
    reason: str
    params: int
    macs: int
    activations: str = activation.FLOAT


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        model: the module given, converted.
        rows: the layer table, in the order of execution.
        replay: what `replay` needs to do it again on a fresh module: a run keeps it.
        notes: sentences for the user (a stem that was replaced).
        recording: of the converted model's float form.
    """

    model: nn.Module
    rows: list[Row]
    replay: dict[str, Any]
    recording: Recording
    notes: list[str] = field(default_factory=list)


def convert(
    model: nn.Module,
    options: Options,
    size: Size,
    *,
    values: bool = True,
    step: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Binarize `model` in place.

    Args:
        model: float; its class, its state_dict keys and its methods stay.
        options: what to binarize and how.
        size: of the image or clip that it is recorded on.
        values: also compare outputs before and after on noise (False for a dry run: one forward less).
        step: told what is being done, for a progress bar.

    Raises ModelError where the model does not run or a gate fails, PatternError for a pattern that
    matches nothing or only what cannot be binarized, and for a submodule that there is not.
    """
    if any(True for _ in binary_weights(model)):
        raise ModelError("the model is converted already", "convert the float model it came from")
    step("recording")
    subject = find_subject(model, size, options.submodule)
    recording = subject.record()
    layers = census(recording)
    notes = []
    stem = plan_stem(model, recording, layers, options.stem, size[-1])
    if stem is not None:
        apply_stem(model, stem)
        notes.append(_stem_note(stem, size))
        recording = subject.record()
        layers = census(recording)
    reasons = kept_reasons(
        model,
        recording,
        layers,
        options.keep,
        options.force,
        options.submodule,
        binary_inputs=options.binary_inputs,
    )
    chosen = [layer for layer in layers if layer.name not in reasons]
    names = {layer.name for layer in chosen}
    keys = set(model.state_dict())
    before = logits(subject) if values else None
    step("binarizing")
    owners = [recording.names[layer.parameter] for layer in chosen]
    edits = plan_edits(model, recording, layers, names, options.structure)
    apply_edits(model, edits)
    _swap(model, [name for names in owners for name in names], options)
    step("verifying")
    verify_keys(keys, model)
    verify_executed(subject, names, names if options.binary_inputs else set())
    if before is not None:
        verify_values(before, subject)
    replay = {
        **asdict(options),
        "keep": list(options.keep),
        "force": list(options.force),
        "replaced_stem": stem.as_dict() if stem else None,
        "parameters": [name for names in owners for name in names],
        "edits": edits,
    }
    rows = _rows(model, layers, reasons, options)
    return Conversion(model, rows, replay, recording, notes)


def replay(model: nn.Module, conversion: Mapping[str, Any]) -> nn.Module:
    """Do a conversion again, in place, from what a run keeps of it; nothing is traced."""
    if conversion["replaced_stem"]:
        apply_stem(model, Stem(**conversion["replaced_stem"]))
    apply_edits(model, conversion.get("edits", []))
    _swap(model, conversion["parameters"], options_of(conversion))
    return model


def options_of(conversion: Mapping[str, Any]) -> Options:
    """The options that a run was converted with; runs of earlier versions lack the later ones."""
    names = ("estimator", "scale", "standardise", "stem")
    return Options(
        keep=tuple(conversion["keep"]),
        force=tuple(conversion.get("force", ())),
        submodule=conversion.get("submodule"),
        activations=conversion.get("activations", activation.FLOAT),
        structure=conversion.get("structure", "keep"),
        **{name: conversion[name] for name in names},
    )


def _swap(model: nn.Module, parameters: list[str], options: Options) -> None:
    """Binarize each parameter once in every module that owns it: a module may have several names."""
    done = set()
    for key in parameters:
        path, _, parameter = key.rpartition(".")
        module = model.get_submodule(path)
        if (id(module), parameter) not in done:
            inputs = options.input_binarizer(module, parameter)
            binarize_weight(module, parameter, options.binarizer(), inputs)
            done.add((id(module), parameter))


def _rows(
    model: nn.Module, layers: list[Layer], reasons: dict[str, str], options: Options
) -> list[Row]:
    rows = [
        Row(
            layer.name,
            layer.kind,
            tuple(layer.shape),
            layer.source,
            "kept" if layer.name in reasons else "binarized",
            reasons.get(layer.name, ""),
            layer.params,
            layer.macs,
            activation.FLOAT if layer.name in reasons else options.activations,
        )
        for layer in layers
    ]
    for name, kind, shape, reason in unseen_layers(model, layers, options.submodule):
        params = sum(p.numel() for p in model.get_submodule(name).parameters())
        rows.append(Row(name, kind, shape, "", "kept", reason, params, 0))
    return rows


def _stem_note(stem: Stem, size: Size) -> str:
    pool = f' and without the pooling "{stem.pool}"' if stem.pool else ""
    return f'stem: "{stem.conv}" is now 3x3 with stride 1{pool}, for images of {size[2]} pixels'
