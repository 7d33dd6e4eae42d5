"""The estimators: one file each, and the one table that everything else iterates."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from binarize.errors import EstimatorError, did_you_mean
from binarize.estimators.ab_ste import ABArcTan, ABTanh
from binarize.estimators.approx_sign import ApproxSign
from binarize.estimators.base import Estimator, sign, widened
from binarize.estimators.dsq import DSQ
from binarize.estimators.ede import EDE
from binarize.estimators.fda import FDA
from binarize.estimators.rbnn import RBNN
from binarize.estimators.recu import ReCU
from binarize.estimators.reste import ReSTE
from binarize.estimators.ste import STE, ClippedSTE
from binarize.estimators.swish_sign import SwishSign

TABLE: dict[str, type[Estimator]] = {
    kind.name: kind
    for kind in (
        STE,
        ClippedSTE,
        ApproxSign,
        SwishSign,
        EDE,
        ReSTE,
        FDA,
        ReCU,
        RBNN,
        DSQ,
        ABTanh,
        ABArcTan,
    )
}


def get(name: str, **constants: Any) -> Estimator:
    """The estimator of that name, with the source's constants but for those given.

    Raises EstimatorError for a name that is not in the table, and for a constant that the estimator
    does not take or that is out of its range.
    """
    if name not in TABLE:
        hint = did_you_mean(name, TABLE) or f"the estimators are {', '.join(TABLE)}"
        raise EstimatorError(f'there is no estimator "{name}"', hint)
    known = [field.name for field in fields(TABLE[name])]
    for constant in constants:
        if constant not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise EstimatorError(
                f'estimator "{name}" has no constant "{constant}"',
                did_you_mean(constant, known) or takes,
            )
    return TABLE[name](**constants)


__all__ = ["TABLE", "Estimator", "get", "sign", "widened"]
