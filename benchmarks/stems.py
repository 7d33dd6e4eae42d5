"""Does `stem: auto` leave every tensor of a trained network alone? All models of timm and torchvision.

    python benchmarks/stems.py            # adds to benchmarks/results/stems.jsonl, and goes on from there
    python benchmarks/stems.py --values   # real tensors: the smallest model of each module alone

A model is made with tensors without data, said to be pretrained, and converted with the default options, at
32 and 64 pixels and at its own size. Every parameter and buffer has to be the object that it was, under its
name, in its shape. With `--values` they are real, and have to be equal. A model that does not run on
images of a size is counted as such: it is not converted, and its tensors have to be there all the same.

A line: model, module, values, sizes: {pixels: "kept", "does not run: …" or what was changed}, seconds.
"""

from __future__ import annotations

import argparse
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
from binarize.models.fake import create_fake
from binarize.rewrite import FloatModel, Options, convert_float
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
    """What became of the tensors, size by size."""
    own = own_size(name)
    found = {}
    for size in dict.fromkeys((*SIZES, own)) if not values else (32, own)[: 2 if own <= 64 else 1]:
        found[str(size)] = _at(name, size, values)
    if values and not any(words == "kept" for words in found.values()):
        found[str(own)] = _at(name, own, values)  # it does not run on small images
    return found


def _at(name: str, size: int, values: bool) -> str:
    try:
        spec = models.describe(name, img_size=size)
    except BinarizeError as error:
        return f"does not run: {error.message[:80]}"
    try:
        model = models.create(spec) if values else create_fake(spec)
    except BinarizeError as error:
        return f"does not run: {error.message[:80]}"
    preprocess = models.default_preprocess(name).replace(img_size=size)
    info = RunInfo(kind="converted", model=spec, weights="pretrained (said)", preprocess=preprocess)
    before = _tensors(model)
    copies = {key: value.detach().clone() for key, value in before.items()} if values else {}
    try:
        convert_float(FloatModel(model.eval(), info), Options(), values=values)
        outcome = "kept"
    except BinarizeError as error:
        outcome = f"does not run: {error.message[:80]}"
    after = _tensors(model)
    if after.keys() != before.keys():
        return f"names changed: {sorted(after.keys() ^ before.keys())[:3]}"
    replaced = [key for key, value in before.items() if after[key] is not value]
    changed = [key for key, value in copies.items() if not torch.equal(after[key], value)]
    return (
        f"replaced: {replaced[:3]}"
        if replaced
        else f"changed: {changed[:3]}"
        if changed
        else outcome
    )


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, the objects themselves."""
    return dict(model.state_dict(keep_vars=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", action="store_true")
    values = parser.parse_args().values
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
