"""What an exported file says about itself: ONNX `metadata_props`, written and read in one place.

Each field of `FileInfo` is one property `binarize.<field>` whose value is JSON. So a file can be
evaluated, or rebuilt from its recipe, without the run that it came from. No property holds the path of
a directory on the exporting machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import yaml

PREFIX = "binarize."
FORMAT = 1


@dataclass(frozen=True)
class FileInfo:
    """An exported file's description of itself.

    Attributes:
        form: "packed", "inline", "int8" or "native" (one bit per binary weight, see docs/op-spec.md), or
            "float" (no binary layer in it).
        classifier: how the last layer's weight is stored: "float", "fp16", "int8" or "1bit".
        parity: "exact": equal to the torch model to 1e-4 of the largest logit; "up to rounding": to what
            the model itself makes of rounding; or "up to sign flips": but for binary inputs that rounding
            put on the other side of their jump; or "quantised": activations are rounded to 8 bits.
        model: `{"name", "library", "library_version", "kwargs"}`, as in a run.
        weights: where the weights came from, in words.
        preprocess: `{"img_size", "mean", "std", "interpolation", "crop_pct"}`.
        data: `{"name", "dir"}` of the data it was trained on; empty where it was not. "dir" only where
            it is relative.
        classes: class names in the order of the logits; empty where unknown.
        conversion: estimator, scale and the other options of the conversion; None for a float model.
        recipe: the resolved recipe it was trained by, YAML; empty where it was not.
        versions: of Python and of the packages that made the file.
        format: of these properties.
    """

    form: str
    parity: str
    model: dict[str, Any]
    weights: str
    preprocess: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    conversion: dict[str, Any] | None = None
    recipe: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    classifier: str = "float"
    format: int = FORMAT

    def to_properties(self) -> dict[str, str]:
        """Property name -> JSON. Absolute paths are cut down to their last part."""
        content = {**asdict(self), "recipe": _recipe_without_places(self.recipe)}
        return {
            PREFIX + name: json.dumps(_without_places(value), separators=(",", ":"))
            for name, value in content.items()
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> FileInfo:
        """The inverse of `to_properties`. Raises ValueError for properties that are not ours."""
        names = {one.name for one in fields(cls)}
        ours = {
            name.removeprefix(PREFIX): json.loads(text)
            for name, text in properties.items()
            if name.startswith(PREFIX)
        }
        if ours.get("format") != FORMAT:
            raise ValueError(f"format {ours.get('format')}, not {FORMAT}")
        try:
            return cls(**{name: value for name, value in ours.items() if name in names})
        except TypeError as error:
            raise ValueError(str(error)) from error


def _recipe_without_places(text: str) -> str:
    if not text:
        return ""
    return yaml.safe_dump(_without_places(yaml.safe_load(text)), sort_keys=False)


def _without_places(value: Any) -> Any:
    """`value` with every string that is an absolute path replaced by the path's last part."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(item) for item in value]
    if isinstance(value, str):
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(value).is_absolute():
                return kind(value).name
    return value
