"""Convert a model: record, select, swap, verify. The module tree given is changed in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from binarize import estimators
from binarize.errors import BinarizeError, ModelError, did_you_mean
from binarize.layers import WeightBinarizer, binarize_weight, binary_weights, scale
from binarize.rewrite.census import Layer, census
from binarize.rewrite.record import Recording, Size, record
from binarize.rewrite.select import kept_reasons, unseen_layers
from binarize.rewrite.stem import Stem, apply_stem, plan_stem
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
    """

    estimator: str | Mapping[str, Any] = "ab-tanh"
    scale: str = "channel"
    standardise: bool = True
    keep: tuple[str, ...] = ()
    stem: str = "auto"

    def __post_init__(self) -> None:
        if self.stem not in STEMS:
            raise BinarizeError(
                f'there is no stem "{self.stem}"',
                did_you_mean(self.stem, STEMS) or f"the stems are {', '.join(STEMS)}",
            )
        self.binarizer()

    @property
    def estimator_name(self) -> str:
        return self.estimator if isinstance(self.estimator, str) else self.estimator["name"]

    def binarizer(self) -> WeightBinarizer:
        """A new binarizer of these options. Raises EstimatorError or BinarizeError for unknown names."""
        constants = {} if isinstance(self.estimator, str) else dict(self.estimator)
        constants.pop("name", None)
        estimator = estimators.get(self.estimator_name, **constants)
        return WeightBinarizer(estimator, scale.get(self.scale), self.standardise)


@dataclass(frozen=True)
class Row:
    """One line of the layer table. Action is "binarized" or "kept"; reason says why kept."""

    name: str
    kind: str
    shape: tuple[int, ...]
    source: str
    action: str
    reason: str
    params: int
    macs: int


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
        size: of the image that it is recorded on.
        values: also compare outputs before and after on noise (False for a dry run: one forward less).
        step: told what is being done, for a progress bar.

    Raises ModelError where the model does not run or a gate fails, PatternError for a pattern that
    matches nothing.
    """
    if any(True for _ in binary_weights(model)):
        raise ModelError("the model is converted already", "convert the float model it came from")
    step("recording")
    recording = record(model, size)
    layers = census(recording)
    notes = []
    stem = plan_stem(model, recording, layers, options.stem, size[2])
    if stem is not None:
        apply_stem(model, stem)
        notes.append(_stem_note(stem, size))
        recording = record(model, size)
        layers = census(recording)
    reasons = kept_reasons(model, recording, layers, options.keep)
    chosen = [layer for layer in layers if layer.name not in reasons]
    keys = set(model.state_dict())
    before = logits(model, size) if values else None
    step("binarizing")
    owners = [recording.names[layer.parameter] for layer in chosen]
    _swap(model, [name for names in owners for name in names], options)
    step("verifying")
    verify_keys(keys, model)
    verify_executed(model, size, {layer.name for layer in chosen})
    if before is not None:
        verify_values(before, model, size)
    replay = {
        **asdict(options),
        "keep": list(options.keep),
        "replaced_stem": stem.as_dict() if stem else None,
        "parameters": [name for names in owners for name in names],
    }
    return Conversion(model, _rows(model, layers, reasons), replay, recording, notes)


def replay(model: nn.Module, conversion: Mapping[str, Any]) -> nn.Module:
    """Do a conversion again, in place, from what a run keeps of it; nothing is traced."""
    if conversion["replaced_stem"]:
        apply_stem(model, Stem(**conversion["replaced_stem"]))
    _swap(model, conversion["parameters"], options_of(conversion))
    return model


def options_of(conversion: Mapping[str, Any]) -> Options:
    """The options that a run was converted with."""
    names = ("estimator", "scale", "standardise", "stem")
    return Options(keep=tuple(conversion["keep"]), **{name: conversion[name] for name in names})


def _swap(model: nn.Module, parameters: list[str], options: Options) -> None:
    for key in parameters:
        path, _, parameter = key.rpartition(".")
        binarize_weight(model.get_submodule(path), parameter, options.binarizer())


def _rows(model: nn.Module, layers: list[Layer], reasons: dict[str, str]) -> list[Row]:
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
        )
        for layer in layers
    ]
    for name, kind, shape, reason in unseen_layers(model, layers):
        params = sum(p.numel() for p in model.get_submodule(name).parameters())
        rows.append(Row(name, kind, shape, "", "kept", reason, params, 0))
    return rows


def _stem_note(stem: Stem, size: Size) -> str:
    pool = f' and without the pooling "{stem.pool}"' if stem.pool else ""
    return f'stem: "{stem.conv}" is now 3x3 with stride 1{pool}, for images of {size[2]} pixels'
