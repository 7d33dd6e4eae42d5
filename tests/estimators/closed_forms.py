"""f and f' of every estimator, written again in numpy from the papers: nothing shared with the code."""

from __future__ import annotations

import numpy as np
from numpy import ndarray


def cosine(progress: float) -> float:
    return 1 - np.cos(progress * np.pi / 2)


def ste(x: ndarray, progress: float) -> tuple[ndarray, ndarray]:
    return x, np.ones_like(x)


def clipped_ste(x: ndarray, progress: float, c: float = 1.0) -> tuple[ndarray, ndarray]:
    return np.minimum(np.maximum(x, -c), c), np.where((x >= -c) & (x <= c), 1.0, 0.0)


def approx_sign(x: ndarray, progress: float) -> tuple[ndarray, ndarray]:
    f = np.select([x < -1, x < 0, x < 1], [-1.0, 2 * x + x**2, 2 * x - x**2], 1.0)
    return f, np.select([x < -1, x < 0, x < 1], [0.0, 2 + 2 * x, 2 - 2 * x], 0.0)


def ede(
    x: ndarray, progress: float, t_min: float = 0.1, t_max: float = 10.0
) -> tuple[ndarray, ndarray]:
    t = 10 ** (np.log10(t_min) + (np.log10(t_max) - np.log10(t_min)) * progress)
    k = 1 / t if t < 1 else 1.0
    return k * np.tanh(t * x), k * t / np.cosh(t * x) ** 2


def reste(
    x: ndarray, progress: float, o_end: float = 3.0, t: float = 1.5, m: float = 0.1
) -> tuple[ndarray, ndarray]:
    o = 1 + (o_end - 1) * cosine(progress)
    size = np.abs(x)
    inner, outer = size <= m, size > t
    root = np.power(np.where(inner, 1.0, np.minimum(size, t)), 1 / o)
    f = np.where(inner, x * m ** (1 / o) / m, np.where(x < 0, -root, root))
    slope = np.power(np.where(inner, 1.0, size), (1 - o) / o) / o
    return f, np.select([inner, outer], [m ** (1 / o) / m, 0.0], slope)


def ab(
    phi: str, x: ndarray, progress: float, a_end: float, k_end: float, clip: float | None = None
) -> tuple[ndarray, ndarray]:
    a, k = a_end * cosine(progress), np.exp(progress * np.log(k_end))
    inside = np.ones_like(x) if clip is None else np.where(np.abs(x) <= clip, 1.0, 0.0)
    x = x if clip is None else np.clip(x, -clip, clip)
    if phi == "tanh":
        f, slope = np.tanh(k * x) / np.tanh(k), k / np.cosh(k * x) ** 2 / np.tanh(k)
    else:
        f, slope = np.arctan(k * x) / np.arctan(k), k / (1 + k**2 * x**2) / np.arctan(k)
    return (1 - a) * x + a * f, ((1 - a) + a * slope) * inside


def ab_tanh(
    x: ndarray, progress: float, a_end: float = 0.8, k_end: float = 5.0, clip: float | None = None
) -> tuple[ndarray, ndarray]:
    return ab("tanh", x, progress, a_end, k_end, clip)


def ab_arctan(
    x: ndarray, progress: float, a_end: float = 0.9, k_end: float = 7.0, clip: float | None = None
) -> tuple[ndarray, ndarray]:
    return ab("arctan", x, progress, a_end, k_end, clip)


FORMS = {
    "ste": ste,
    "clipped-ste": clipped_ste,
    "approx-sign": approx_sign,
    "ede": ede,
    "reste": reste,
    "ab-tanh": ab_tanh,
    "ab-arctan": ab_arctan,
}
