"""Level 1: build a model without data, convert it, and have the dry run's gates look at it.

The line of a model:

    model, library, module, class, parameters
    signature    the classes of all modules whose weights a convolution or linear function used, and
                 "A(B)" where it was not B that used its weight but a module of class A
    sources      what feeds the layers: function -> share of them
    modes        mode -> {"binarized": {class: layers}, "kept": {reason: {class: layers}}, "seconds"},
                 or {"error", "reason"}; "kept" also has layers that were not executed

`convert` itself checks that the layers it reports as binarized are those, and only those, that ran
through a binary weight, at two batch sizes.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from coverage_lines import Line
from coverage_models import own_size
from coverage_modes import options
from coverage_worker import attempt
from torch import nn

from binarize.models.fake import create_fake
from binarize.rewrite import Conversion, Trace, capture, convert, image_size, inventory


def measure(job: dict[str, Any]) -> Line:
    """What the line of `job["model"]` says of itself and of the modes of `job["modes"]`."""
    line: Line = {"modes": {}}
    for mode in job["modes"]:
        outcome = attempt(_mode, job["model"], mode)
        line |= outcome.pop("graph", {})
        line["modes"][mode] = outcome
    return line if "signature" in line else {**line, **attempt(_graph, job["model"])}


def _mode(name: str, mode: str) -> Line:
    began = time.monotonic()
    model, size, classes = _float_model(name)
    conversion = convert(model, options(mode), size, values=False)
    seconds = round(time.monotonic() - began, 2)
    graph = describe_graph(conversion.trace, classes)
    return {"graph": graph, **_actions(conversion, classes), "seconds": seconds}


def _graph(name: str) -> Line:
    """For a model that does not convert."""
    model, size, classes = _float_model(name)
    return describe_graph(capture(model, size), classes)


def _float_model(name: str) -> tuple[nn.Module, tuple[int, int, int], dict[str, str]]:
    """The model without data, the size of its images, and name -> class of its modules."""
    model = create_fake(name)
    classes = {name: type(m).__name__ for name, m in model.named_modules(remove_duplicate=False)}
    return model, image_size(model, own_size(name)), classes


def describe_graph(trace: Trace, classes: dict[str, str]) -> Line:
    """`signature` and `sources` of a trace."""
    layers = inventory(trace)
    feeders = Counter(layer.fed_by for layer in layers)
    users = set()
    for layer in layers:
        owner = layer.parameter.rpartition(".")[0]
        users.add(classes[owner])
        around = {node.meta["module"] for node in layer.nodes} - {owner}
        users.update(f"{classes[user]}({classes[owner]})" for user in around)
    shares = {fed_by: round(n / feeders.total(), 4) for fed_by, n in feeders.most_common()}
    return {"signature": sorted(users), "sources": shares}


def _actions(conversion: Conversion, classes: dict[str, str]) -> Line:
    binarized: Counter[str] = Counter()
    kept: dict[str, Counter[str]] = {}
    for row in conversion.rows:
        owner = row.name if row.name in classes else row.name.rpartition(".")[0]
        counter = binarized if row.action == "binarized" else kept.setdefault(row.reason, Counter())
        counter[classes[owner]] += 1
    return {"binarized": binarized, "kept": kept}
