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


def swish_sign(x: ndarray, progress: float, b: float = 5.0) -> tuple[ndarray, ndarray]:
    u = b * x
    sigmoid = 1 / (1 + np.exp(-u))
    f = 2 * sigmoid * (1 + u * (1 - sigmoid)) - 1
    return f, b * (2 - u * np.tanh(u / 2)) / (1 + np.cosh(u))


def fda(
    x: ndarray,
    progress: float,
    w: float = 0.1,
    n_start: int = 9,
    n_end: int = 18,
    clip: float = 1.0,
) -> tuple[ndarray, ndarray]:
    n = int(np.floor(n_start + (n_end - n_start) * progress))
    inside = np.abs(x) <= clip
    x = np.clip(x, -clip, clip)
    f = 4 / np.pi * sum(np.sin((2 * i + 1) * w * x) / (2 * i + 1) for i in range(n + 1))
    slope = 4 * w / np.pi * sum(np.cos((2 * i + 1) * w * x) for i in range(n + 1))
    return f, np.where(inside, slope, 0.0)


def recu(
    x: ndarray,
    progress: float,
    tau_min: float = 0.85,
    tau_max: float = 0.99,
    gain: float = 2 * np.sqrt(2),
    mean: float | None = None,
) -> tuple[ndarray, ndarray]:
    """`mean`: E|x| of the layer; that of N(0, 1) without one."""
    mean = np.sqrt(2 / np.pi) if mean is None else mean
    per_e = (tau_max - tau_min) / (np.e - 1)
    tau = per_e * np.e**progress + tau_min - per_e  # as the source has it
    q = -mean * np.log(2 - 2 * tau)
    return gain * np.minimum(np.maximum(x, -q), q), np.where((x >= -q) & (x <= q), gain, 0.0)


def rbnn(
    x: ndarray, progress: float, t_min: float = 0.01, t_max: float = 10.0
) -> tuple[ndarray, ndarray]:
    t = 10 ** (np.log10(t_min) + (np.log10(t_max) - np.log10(t_min)) * progress)
    k, size = max(1 / t, 1), np.abs(x)
    rising = k * (np.sqrt(2) * t * size - t**2 * size**2 / 2)
    f = np.where(x < 0, -1, 1) * np.where(size < np.sqrt(2) / t, rising, k)
    return f, k * np.maximum(2 * np.sqrt(t**2 / 2) - np.abs(t**2 * x), 0)


def dsq(
    x: ndarray, progress: float, a_start: float = 0.2, delta: float = 2.0
) -> tuple[ndarray, ndarray]:
    k = np.log(2 / a_start - 1) / delta
    inside = np.abs(x) <= delta / 2
    f = np.where(inside, np.tanh(k * x) / (1 - a_start), np.where(x < 0, -1.0, 1.0))
    return f, np.where(inside, k / np.cosh(k * x) ** 2 / (1 - a_start), 0.0)


def ab(
    phi: str,
    x: ndarray,
    progress: float,
    a_end: float,
    k_end: float,
    clip: float | None = None,
    a: float | None = None,
    k: float | None = None,
) -> tuple[ndarray, ndarray]:
    """`a`, `k`: in the place of those of the schedule."""
    a = a_end * cosine(progress) if a is None else a
    k = np.exp(progress * np.log(k_end)) if k is None else k
    inside = np.ones_like(x) if clip is None else np.where(np.abs(x) <= clip, 1.0, 0.0)
    x = x if clip is None else np.clip(x, -clip, clip)
    if phi == "tanh":
        f, slope = np.tanh(k * x) / np.tanh(k), k / np.cosh(k * x) ** 2 / np.tanh(k)
    else:
        f, slope = np.arctan(k * x) / np.arctan(k), k / (1 + k**2 * x**2) / np.arctan(k)
    return (1 - a) * x + a * f, ((1 - a) + a * slope) * inside


def ab_tanh(
    x: ndarray, progress: float, a_end: float = 0.8, k_end: float = 5.0, **others: float
) -> tuple[ndarray, ndarray]:
    return ab("tanh", x, progress, a_end, k_end, **others)


def ab_arctan(
    x: ndarray, progress: float, a_end: float = 0.9, k_end: float = 7.0, **others: float
) -> tuple[ndarray, ndarray]:
    return ab("arctan", x, progress, a_end, k_end, **others)


FORMS = {
    "ste": ste,
    "clipped-ste": clipped_ste,
    "approx-sign": approx_sign,
    "swish-sign": swish_sign,
    "ede": ede,
    "reste": reste,
    "fda": fda,
    "recu": recu,
    "rbnn": rbnn,
    "dsq": dsq,
    "ab-tanh": ab_tanh,
    "ab-arctan": ab_arctan,
}
