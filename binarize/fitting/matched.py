"""Which inner outputs of a binary network are compared with those of its float parent.

Of each binary layer it is the output of the normalisation behind it, and where there is none, its own: what
the module returns in which that was computed, as one tensor. Both networks have these modules under the
same names. Where else the outputs lie hardly matters: see docs/decisions/0023-fitting-to-the-float-parent.md.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import fx

from binarize.rewrite import Trace, build_info, capture, image_size, inventory
from binarize.rewrite.inventory import FEEDERS, PASSING, function_name
from binarize.run import RunInfo

NORMS = frozenset(FEEDERS["norm"].split())


def outputs_of_run(info: RunInfo) -> list[str]:
    """The same for the network that a run describes."""
    if info.conversion is None:
        return []
    model = build_info(info.undone())
    trace = capture(model, image_size(model, info.preprocess.img_size))
    binary = set(info.conversion.parameters)
    layers = inventory(trace)
    return matched_outputs(
        trace, {x.name for x in layers if binary.intersection(trace.names[x.parameter])}
    )


def matched_outputs(trace: Trace, binary: Collection[str]) -> list[str]:
    """Names of the modules whose outputs are compared, in the order of execution.

    `trace` is of the float network, `binary` has the names of its layers that become binary. A module that
    runs several times has several outputs. Layers behind which no module returns a tensor have none; the
    logits are compared in any case, and are not named here.
    """
    names: dict[str, None] = {}
    for layer in inventory(trace):
        if layer.name in binary:
            for node in layer.nodes:
                name = _returned_by(_norm_behind(node) or node)
                if name:
                    names[name] = None
    return list(names)


def _norm_behind(node: fx.Node) -> fx.Node | None:
    """The normalisation that takes what `node` makes, and nothing else does."""
    while len(node.users) == 1:
        (node,) = node.users
        name = function_name(node)
        if name in NORMS:
            return node
        if name not in PASSING:
            break
    return None


def _returned_by(node: fx.Node) -> str:
    """The innermost module around `node` that returns one tensor; "" where that is the whole network."""
    call = node.meta["call"]
    while call.caller is not None and not isinstance(call.output, fx.Node):
        call = call.caller
    return str(call.name) if call.caller is not None else ""
