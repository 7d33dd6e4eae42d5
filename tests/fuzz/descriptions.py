"""What a run says of itself in run.json, and an ONNX file in its metadata, as an enemy would write it.

Besides what `documents` does to any document: values that are right in their type and wrong in their meaning.
"""

from __future__ import annotations

import random as random_
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
from documents import Spoilt, extras
from judge import MARKUP

KNOWN_SHARE = 0.4


def spoil(document: Any, random: random_.Random, outside: Path) -> Spoilt:
    """A copy of a description that is odd at one place; `outside`: a file of somebody else."""
    if random.random() > KNOWN_SHARE:
        return documents.spoil(document, random, outside)
    place, value = random.choice(list(known(outside)))
    return documents.spoilt(document, place, value)


def known(outside: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values that are right in their type and wrong in their meaning."""
    of_model = (("model", "kwargs", name) for name in extras(outside))
    yield from zip(of_model, extras(outside).values(), strict=True)
    for channels in ([65536] * 3, [4, 8], [4, 8, 16, 32], [0, 0, 0], "x", [1.5] * 3, [[4], 8, 16]):
        yield ("model", "kwargs", "channels"), channels
    for name, value in (
        *(("blocks", 60000), ("blocks", 0), ("blocks", "x"), ("num_classes", 65536)),
        *(("num_classes", 0), ("num_classes", 7), ("in_chans", 1), ("in_chans", 65536)),
        *(("block", "os.system"), ("norm_layer", "eval"), ("act_layer", "print"), ("depth", 60000)),
        *(("shortcut", "zzz"), ("drop_rate", float("nan")), ("global_pool", "zzz")),
    ):
        yield ("model", "kwargs", name), value
    for name in (
        *("resnet18", "vit_gigantic_patch14_clip_224", "cifar_resnet110", "resnet18.a1_in1k"),
        *("timm/resnet18", "hf-hub:timm/resnet18", "local-dir:/tmp", "cifar_resnet20.", "RESNET18"),
    ):
        yield ("model", "name"), name
    for name in ("torchvision", "custom", "hf_hub"):
        yield ("model", "library"), name
    yield ("model",), {"name": "fasterrcnn_resnet50_fpn", "library": "torchvision", "kwargs": {}}
    yield ("model",), {"name": "eva02_enormous_patch14_clip_224", "library": "timm"}
    for name in (
        *(
            "torch/cifar10",
            "torch/imagenet",
            "hfds/mnist",
            "tfds/mnist",
            "wds/x",
            "hfids/x",
            "cifar10",
        ),
        *("folder", "torch/os", "zzz"),
    ):
        yield ("data", "name"), name
    yield ("data",), {"name": "folder", "dir": str(outside.parent)}
    yield ("data",), {"name": "torch/image_folder", "dir": str(outside.parent)}
    yield ("data",), {"name": "torch/imagenet", "dir": str(outside.parent)}
    for parameters in (
        *(["no.such.weight"], ["conv1.__class__"], ["fc.bias"], ["bn1.weight"], [""], ["."]),
        *(["conv1.weight"] * 3, ["conv1.weight.x"], ["forward"], ["layer1.weight"], []),
    ):
        yield ("conversion", "parameters"), parameters
    for stem in (
        *(
            {"conv": "fc", "pool": None},
            {"conv": "", "pool": None},
            {"conv": "conv1", "pool": "fc"},
        ),
        *({"conv": "conv1", "pool": ""}, {"conv": "layer1", "pool": "zzz"}),
    ):
        yield ("conversion", "replaced_stem"), stem
    relu = {"pass": "replace_relu", "form": "rprelu", "inplace": False, "channels": 4, "axis": 1}
    relu |= {"module": None, "block": None, "target": "", "ordinal": 0}
    block = {"module": "layer1.0", "arguments": {"x": "tensor"}}
    shortcut = {"pass": "shortcut", "layer": "layer1.0.conv2", "block": block, "stride": 1}
    shortcut |= {"taken": ["conv2", 0, 0], "behind": ["bn2", 0]}
    for edit in (
        *(relu, {**relu, "module": ""}, {**relu, "module": "fc"}, {**relu, "module": "zzz"}),
        *({**relu, "module": "act1", "channels": 1 << 24}, {**relu, "block": block}),
        *({**relu, "module": "act1", "axis": 60}, {**relu, "module": "act1", "channels": 5}),
        *({**relu, "block": {"module": "", "arguments": {}}}, {**relu, "module": "layer1"}),
        *({**shortcut, "layer": "fc"}, {**shortcut, "layer": ""}, {**shortcut, "stride": 0}),
        *({**shortcut, "stride": 4000}, {**shortcut, "taken": ["conv2", 0, 60]}),
        *({**shortcut, "block": {"module": "layer1.0", "arguments": {"y": "tensor"}}},),
        *({**shortcut, "block": {"module": "layer1.0", "arguments": {"x": ["list", 4096]}}},),
        *({**shortcut, "block": {"module": "layer1", "arguments": {}}},),
    ):
        yield ("conversion", "edits"), [edit]
    for estimator in (
        *("zzz", "ste", "dsq", {"name": "ab-tanh", "a_end": 1e308}, {"name": "ab-tanh", "zzz": 1}),
        *({"name": "ab-tanh", "a_end": "x"}, {"name": "ab-tanh", "a_end": [1]}, {"name": ""}),
        *({"name": "ab-tanh", "a_end": 0}, {"name": "ab-tanh", "a_end": -1}),
    ):
        yield ("conversion", "estimator"), estimator
    for key, value in (
        *(("scale", "zzz"), ("scale", "learned"), ("activations", "zzz"), ("activations", "step")),
        *(("activations", "float"), ("structure", "zzz"), ("stem", "zzz"), ("submodule", "zzz")),
        *(("submodule", "layer1"), ("keep", ["*"]), ("layers", [{"match": "zzz"}])),
        *(
            ("layers", [{"match": "*", "estimator": "zzz"}]),
            ("layers", [{"match": "*", "scale": "z"}]),
        ),
        *(("learned_inputs", True), ("standardise", False)),
    ):
        yield ("conversion", key), value
    yield ("conversion",), None
    for key, value in (
        *(("img_size", 1), ("img_size", 17), ("img_size", 16384), ("img_size", 1 << 40)),
        *(("mean", [0.5]), ("mean", [0.5] * 16), ("std", [0, 0, 0]), ("std", [1e-300] * 3)),
        *(("crop_pct", 1e-9), ("crop_pct", 4), ("crop_pct", 0.001), ("interpolation", "lanczos")),
        *(("interpolation", "zzz"), ("mean", [1e308] * 3)),
    ):
        yield ("preprocess", key), value
    yield (
        ("preprocess",),
        {
            **{"img_size": 16, "mean": [0.5], "std": [0.5]},
            **{"interpolation": "bilinear", "crop_pct": 1.0},
        },
    )
    for classes in (
        *(["0"] * 10, [str(i) for i in range(9)], [f"\x1b[2J{i}" for i in range(10)]),
        *([], [str(i) for i in range(50_000)], [f"{MARKUP}{i}" for i in range(10)]),
    ):
        yield ("classes",), classes
    for number in (0, 1, 3, -1, 2.0, "2", True, 10**30):
        yield ("format",), number
    for number in (1e308, -1e308, 1e20, -1e12, 0):
        yield ("created",), number
