"""Does `stem: auto` leave every tensor of a trained network alone? All models of timm and torchvision.

    python benchmarks/stems.py            # adds to benchmarks/results/stems.jsonl, and goes on from there
    python benchmarks/stems.py --values   # real tensors: the smallest model of each module alone

A model is made with tensors without data, said to be pretrained, and converted with the default options,
at the first of 32 and 64 pixels and its own size that it runs on; for the others it is asked whether another
stem would be put in. Every parameter and buffer has to be the object that it was, under its name, and so in
its shape. With `--values` they are real, and have to be equal. A model that does not run on images of a size
is counted as such: its tensors have to be there all the same.

The last step of a conversion, two forward passes of what was converted, is omitted: it decides nothing about
tensors, takes two thirds of the time, and coverage.py has done it for all names.

A line: model, module, values, sizes: {pixels: "kept", "does not run: …" or what was changed}, seconds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from coverage_models import own_size
from result_lines import RESULTS, append
from torch import nn

from binarize import models
from binarize.errors import BinarizeError
from binarize.imgsize import ImgSize, height_width
from binarize.models.fake import create_fake
from binarize.rewrite import Converted, FloatModel, Options, convert_float, inventory
from binarize.rewrite.stem import plan_stem
from binarize.run import RunInfo

FILE = "stems"
SIZES = (32, 64)


def known() -> list[dict[str, Any]]:
    """What is known of the models, those first that are the smallest of their module, then by parameters."""
    with (RESULTS / "coverage-models.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    lines = list({line["model"]: line for line in lines if "parameters" in line}.values())
    lines.sort(key=lambda line: line["parameters"])
    smallest = {line["module"]: line["model"] for line in reversed(lines)}
    return sorted(lines, key=lambda line: smallest[line["module"]] != line["model"])


def todo(values: bool) -> Iterator[dict[str, Any]]:
    """The models that have no line yet; with values the smallest of each module."""
    file = RESULTS / f"{FILE}.jsonl"
    lines = [json.loads(line) for line in file.open(encoding="utf-8")] if file.is_file() else []
    done = {line["model"] for line in lines if line["values"] == values}
    modules = set()
    for line in known():
        first = line["module"] not in modules
        modules.add(line["module"])
        if line["model"] not in done and (first or not values):
            yield line


def measure(name: str, values: bool) -> dict[str, str]:
    """What became of the tensors, size by size.

    The network is converted at the first size that it runs on; for the others it is asked whether another
    stem would be put in.
    """
    own = own_size(name)
    sizes = (32, own) if values else (*SIZES, own)
    found: dict[str, str] = {}
    done: tuple[FloatModel, Converted] | None = None
    for size in dict.fromkeys(sizes):
        try:
            if done is None:
                float_model = _make(name, size, values)
                found[str(size)], converted = _convert(float_model, values)
                done = None if converted is None else (float_model, converted)
            else:
                found[str(size)] = _decide(*done, size)
        except BinarizeError as error:
            found[str(size)] = f"does not run: {error.message[:80]}"
    return found


def _decide(float_model: FloatModel, converted: Converted, size: ImgSize) -> str:
    """Whether a network that kept its stem at another size would keep it at this one."""
    trace = converted.conversion.trace
    width = max(height_width(size))
    random = float_model.asked_random
    stem = plan_stem(float_model.model, trace, inventory(trace), "auto", width, random)
    return "kept" if stem is None else f"replaced: {[stem.conv, stem.pool]}"


def _make(name: str, size: ImgSize, values: bool) -> FloatModel:
    """The network, said to be pretrained."""
    spec = models.describe(name, img_size=size)
    model = models.create(spec) if values else create_fake(spec)
    preprocess = models.default_preprocess(name).replace(img_size=size)
    info = RunInfo(kind="converted", model=spec, weights="pretrained (said)", preprocess=preprocess)
    return FloatModel(model.eval(), info)


def _convert(float_model: FloatModel, values: bool) -> tuple[str, Converted | None]:
    """What became of its tensors. Raises BinarizeError where it does not run and they are as they were."""
    before = _tensors(float_model.model)
    copies = {key: value.detach().clone() for key, value in before.items()} if values else {}
    converted = failure = None
    try:
        converted = convert_float(float_model, Options(), values=values)
    except BinarizeError as error:
        failure = error
    outcome = _compared(before, copies, _tensors(float_model.model))
    if failure is not None and outcome == "kept":
        raise failure
    return outcome, converted


def _compared(
    before: dict[str, torch.Tensor],
    copies: dict[str, torch.Tensor],
    after: dict[str, torch.Tensor],
) -> str:
    if after.keys() != before.keys():
        return f"names changed: {sorted(after.keys() ^ before.keys())[:3]}"
    replaced = [key for key, value in before.items() if after[key] is not value]
    if replaced:
        return f"replaced: {replaced[:3]}"
    changed = [key for key, value in copies.items() if not torch.equal(after[key], value)]
    return f"changed: {changed[:3]}" if changed else "kept"


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, the objects themselves."""
    return dict(model.state_dict(keep_vars=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", action="store_true")
    values = parser.parse_args().values
    conversion: Any = importlib.import_module("binarize.rewrite.convert")
    conversion.verify_executed = lambda *_: None
    bad = 0
    for line in todo(values):
        began = time.monotonic()
        sizes = measure(line["model"], values)
        wrong = [w for w in sizes.values() if w != "kept" and not w.startswith("does not run")]
        bad += len(wrong)
        result = {
            "model": line["model"],
            "module": line["module"],
            "values": values,
            "sizes": sizes,
        }
        append(FILE, {**result, "seconds": round(time.monotonic() - began, 1)})
        if wrong:
            print(line["model"], sizes)
    print(f"{bad} replaced, re-shaped or changed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
