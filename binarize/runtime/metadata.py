"""What an exported file says about itself: ONNX `metadata_props`, written and read in one place.

Each field of `FileInfo` is one property `binarize.<field>` whose value is JSON. So a file can be
evaluated, or rebuilt from its recipe, without the run that it came from. No property holds the path of
a directory on the exporting machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, Literal

import yaml
from pydantic import Field

from binarize.run.info import Described
from binarize.run.record import InvalidRecord, parse_json

PREFIX = "binarize."
PATHS = (("data", "dir"), ("model", "checkpoint"))
"""The fields of a description or recipe that hold paths of the machine it was made on."""

FormName = Literal["packed", "inline", "int8", "native", "float"]
ClassifierName = Literal["float", "fp16", "int8", "1bit"]
Parity = Literal["exact", "up to rounding", "up to sign flips", "quantised"]


class FileInfo(Described):
    """An exported file's description of itself.

    Attributes:
        form: "packed", "inline", "int8" or "native" (one bit per binary weight, see docs/op-spec.md), or
            "float" (no binary layer in it).
        classifier: how the last layer's weight is stored: "float", "fp16", "int8" or "1bit".
        parity: "exact": equal to the torch model to 1e-4 of the largest logit; "up to rounding": to what
            the model itself makes of rounding; or "up to sign flips": but for binary inputs that rounding
            put on the other side of their decision boundary; or "quantised": activations are rounded to 8
            bits.
        model, conversion, weights, preprocess, data, classes, format: as in a run, but for the names of the
            binary weights; "data.dir" only where it is relative.
        recipe: the resolved recipe it was trained by, YAML; empty where it was not.
        versions: of Python and of the packages that made the file.
        with_preprocess: it takes uint8 images [N, H, W, 3] and gives probabilities: normalisation and softmax
            are inside. `parity` is that of the network without them.
    """

    form: FormName
    parity: Parity
    recipe: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    classifier: ClassifierName = "float"
    with_preprocess: bool = False

    what: ClassVar[str] = "the file"

    def to_properties(self) -> dict[str, str]:
        """Property name -> JSON. Absolute paths are cut down to their last part."""
        content = _without_places(self.to_json())
        if not self.with_preprocess:  # as in files of before there was a choice
            del content["with_preprocess"]
        if self.recipe:
            recipe = _without_places(yaml.safe_load(self.recipe))
            content["recipe"] = yaml.safe_dump(recipe, sort_keys=False)
        content["format"] = content.pop("format")  # last, so that a file that is cut short lacks it
        return {
            PREFIX + name: json.dumps(value, separators=(",", ":"))
            for name, value in content.items()
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> FileInfo:
        """The inverse of `to_properties`; what other programs or later versions added is passed over. Raises
        InvalidRecord."""
        content: dict[str, Any] = {}
        for name, text in properties.items():
            field = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and field in cls.model_fields:
                try:
                    content[field] = parse_json(text)
                except InvalidRecord as problem:
                    raise InvalidRecord(f"{field}: {problem}") from None
        return cls.from_data(content)


def _without_places(content: dict[str, Any]) -> dict[str, Any]:
    """A description or recipe whose paths of this machine, where they are absolute, are their last part."""
    content = dict(content)
    for section, key in PATHS:
        inside = content.get(section)
        if isinstance(inside, dict) and isinstance(inside.get(key), str):
            content[section] = {**inside, key: _last_part(inside[key])}
    for stage in content.get("stages") or ():
        teacher = (stage.get("distill") or {}).get("teacher")
        if isinstance(teacher, str):
            stage["distill"]["teacher"] = _last_part(teacher)
    return content


def _last_part(path: str) -> str:
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute():
            return kind(path).name
    return path
