"""Write docs/fitting.md and its plot from the lines of the benchmarks: `python docs/fitting.py`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from performance import lines, measured, table

from binarize.run import write_text

PAGE = Path(__file__).with_suffix(".md")
PLOT = PAGE.parent / "images" / "fit-budget.svg"
PACKAGES = ("python", "torch")
WEIGHTS = ("as converted", "norms measured again", "fitted")
MODES = {
    "1": "W1A32",
    "2": "W1A32, 2 bases",
    "step": "W1A1, `step`",
    "sign": "W1A1, `sign` with Bi-Real blocks",
}
"""What the rows of `benchmarks/finetune.py` call them."""
METHODS = {
    "size": "`--size`",
    "uniform": "one number of bases",
    "keep": "1 base, layers kept",
}
"""What `benchmarks/bit_placement.py` calls them."""

TEXT = """\
# What fitting gives

This page is written by `python docs/fitting.py` from the lines of the benchmarks in `benchmarks/results/`.
A trained float network is converted and [fitted to itself](concepts.md#fitting-to-the-float-parent) on
images whose labels are not read; W1A32, AB-Tanh where nothing else is said. *Norms measured again* is
`--calib-steps 0`. Top-1 is in per cent, *error* the sum of the relative errors on the images held aside, and
*agreement* the share of these on which the binary network answers as the float one, before and after. A
benchmark measures only what has no line yet, so that it goes on where it was stopped.
{sections}"""


def main() -> None:
    write_text(PAGE, page())
    draw(lines("fit_budget"), PLOT)


def page() -> str:
    """The text of docs/fitting.md; what has not been measured is left out."""
    sections = [cifar10, imagenet, digits, sizes, estimators, budget, time]
    return TEXT.format(
        sections="".join(f"\n{text}\n" for text in (make() for make in sections) if text)
    )


def found(name: str) -> list[dict[str, Any]]:
    try:
        return lines(name)
    except FileNotFoundError:
        return []


def cifar10() -> str:
    rows = found("finetune")
    parent = next((row["top1"] for row in rows if row["row"] == "float"), None)
    if parent is None:
        return ""
    cells = []
    for mode, words in MODES.items():
        fits = [row for row in rows if row["row"].startswith(f"fit-{mode}-")]
        if fits:
            fits.sort(key=lambda row: row["row"])
            cells.append([words, "fitted", *against(parent, fits)])
        trainings = [row for row in rows if row["row"] == f"tuned-{mode}"]
        cells += [[words, with_labels(row), *against(parent, [row])] for row in trainings]
    head = ["", "weights", "top-1", "below float", "CPU s of the command"]
    return f"""\
## A ResNet-20 on CIFAR-10, and a few epochs with labels

`python benchmarks/finetune.py FLOAT_RUN DATA_DIR WORK`: the float baseline of `cifar10-resnet20`, 24 epochs,
{parent:.2f} on all 10,000 test images (the JPEG copy); fitted on 1,024 training images in 120 steps, seeds
0 / 1 / 2; and the fitted run of seed 0 trained by `cifar10-finetune`, one seed. {measured(rows, PACKAGES)}

{table(head, cells)}"""


def against(parent: float, rows: list[dict[str, Any]]) -> list[str]:
    """Top-1, what is missing to the float network, and seconds."""
    return [
        joined(row["top1"] for row in rows),
        joined(parent - row["top1"] for row in rows),
        " / ".join(f"{row['cpu_s']:,.0f}" if "cpu_s" in row else "resumed" for row in rows),
    ]


def with_labels(row: dict[str, Any]) -> str:
    """The settings of a training with labels."""
    stage = row["stage"]
    settings = f"batches of {stage['batch']}, lr {stage['lr']:g}, features {stage['features']:g}"
    return f"{row['epochs']} epochs with labels, {settings}"


def sizes() -> str:
    rows = found("bit_placement")
    text = ""
    for run in dict.fromkeys(row["run"] for row in rows if row["size"]):
        own = [row for row in rows if row["run"] == run]
        float_top = next(row["top1"] for row in own if row["size"] is None)
        cells = []
        for size in sorted({row["size"] for row in own if row["size"]}):
            by_method = {
                method: [row for row in own if (row["size"], row.get("method")) == (size, method)]
                for method in METHODS
            }
            cells.append([f"{size:,}", *(placed(same) for same in by_method.values())])
        text += f"\n`{run}`, float {float_top:.2f} on {own[0]['n']:,} test images:\n\n"
        text += table(["bytes, at most", *METHODS.values()], cells) + "\n"
    if not text:
        return ""
    images, steps = next((row["images"], row["steps"]) for row in rows if row["size"])
    return f"""\
## Where the bits go

`python benchmarks/bit_placement.py FLOAT_RUN DATA_DIR`: top-1 of packed files of one size, and their bytes,
with the bits placed by `--size`, with as many bases for all layers as fit, and with one base and as many
layers kept float as fit, the most sensitive first; {images} images, {steps} steps.
{measured(rows, PACKAGES)}
{text.rstrip()}"""


def placed(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return f"{joined(row['top1'] for row in rows)} ({max(row['bytes'] for row in rows):,} bytes)"


def imagenet() -> str:
    rows = found("fit_efficientnet")
    if not rows:
        return ""
    placed_bits = [row for row in rows if "size" in row]
    others = [row for row in rows if "size" not in row]
    return f"""\
## EfficientNet-Lite0 with ImageNet weights

`python benchmarks/fit_efficientnet.py IMAGES.tar`: a user's own module with published weights, 32 pointwise
convolutions binary. Fitted on one image of each of 500 classes, scored on one of each of the other 500
(standard error 2 points). {measured(rows, PACKAGES)}

{by_weights(others)}{by_size(placed_bits)}"""


def by_size(rows: list[dict[str, Any]]) -> str:
    """A line for each size that bits were placed for."""
    if not rows:
        return ""
    cells = [
        [
            f"{row['size']:,}",
            f"{row['bytes']:,}",
            ", ".join(
                f"{layers} of {bases} bases" for bases, layers in row["layers_of_bases"].items()
            ),
            len(row["keep"]),
            f"{row['top1']:.2f}",
            f"{row['error'][1]:.2f}",
            agreements([row]),
            f"{row['cpu_s']:.0f}",
        ]
        for row in sorted(rows, key=lambda row: row["size"])
    ]
    heads = [
        "bytes, at most",
        "bytes",
        "layers apart",
        "kept float",
        "top-1",
        "error",
        "agreement",
        "CPU s",
    ]
    return f"""

With the bits placed by `convert(…, size=)`, of the classifier too (5,120,000 bytes as float), and fitted in
{rows[0]["steps"]} steps. *Apart* are layers with other bases than most of the network:

{table(heads, cells)}"""


def digits() -> str:
    rows = found("fit_digits")
    text = ""
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = [row for row in rows if row["model"] == model]
        text += f"\n`{model}`:\n\n{by_weights(of_model)}\n"
    if not text:
        return ""
    return f"""\
## The digits, with batch norms and without

`python benchmarks/fit_digits.py FLOAT_RUN...`: a ResNet-20 as that of the demo, and a small transformer,
which has no batch norms to be measured again; 360 test images, fitted on 1,024 training images in 120 steps,
seeds 0 / 1 / 2. How the transformer was trained stands in the script. {measured(rows, PACKAGES)}
{text.rstrip()}"""


def by_weights(rows: list[dict[str, Any]]) -> str:
    """A line for the float network, and one for each number of bases and state of the weights."""
    cells: list[list[object]] = [
        ["float", "", f"{row['top1']:.2f}", "", "", f"{row['cpu_s']:.0f}"]
        for row in rows
        if row["bases"] is None
    ]
    keys = {
        (row["bases"], WEIGHTS.index(row["weights"]), row.get("steps"))
        for row in rows
        if row["bases"]
    }
    for bases, number, steps in sorted(keys, key=lambda key: (key[0], key[1], key[2] or 0)):
        same = [
            row
            for row in rows
            if (row["bases"], row.get("weights"), row.get("steps"))
            == (bases, WEIGHTS[number], steps)
        ]
        words = WEIGHTS[number] + (f" in {steps} steps" if steps else "")
        cells.append(
            [
                bases,
                words,
                joined(row["top1"] for row in same),
                joined(row["error"][1] for row in same if "error" in row),
                agreements(same),
                f"{statistics.mean(row['cpu_s'] for row in same):.0f}",
            ]
        )
    return table(["bases", "weights", "top-1", "error", "agreement", "CPU s"], cells)


def joined(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


def agreements(rows: list[dict[str, Any]]) -> str:
    pairs = [row["agreement"] for row in rows if "agreement" in row]
    if not pairs:
        return ""
    return f"{pairs[0][0]:.0f} -> " + " / ".join(f"{after:.0f}" for _, after in pairs)


def estimators() -> str:
    rows = found("fit_estimators")
    text = ""
    budgets = dict.fromkeys((row["run"], row["images"], row["steps"], row["n"]) for row in rows)
    for run, images, steps, n in budgets:
        same = [
            row for row in rows if (row["run"], row["images"], row["steps"]) == (run, images, steps)
        ]
        text += f"\n{images} images of `{run}`, {steps} steps of 32, {n:,} test images:\n\n"
        text += leading(same) + "\n"
    if not text:
        return ""
    return f"""\
## Which estimator

`python benchmarks/fit_estimators.py FLOAT_RUN`: every estimator with its own constants, one base, three
seeds, a budget small enough to tell them apart. {measured(rows, PACKAGES)}
{text.rstrip()}"""


def leading(rows: list[dict[str, Any]]) -> str:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["estimator"], []).append(row)
    mean = {name: statistics.mean(row["top1"] for row in own) for name, own in by_name.items()}
    cells = [
        [
            f"`{name}`",
            joined(row["top1"] for row in by_name[name]),
            f"{mean[name]:.2f}",
            f"{statistics.mean(row['error'][1] for row in by_name[name]):.2f}",
        ]
        for name in sorted(mean, key=mean.__getitem__, reverse=True)
    ]
    return table(["estimator", "top-1 of the seeds", "mean", "error"], cells)


def budget() -> str:
    rows = found("fit_budget")
    if not rows:
        return ""
    text = ""
    for run, bases in curves(rows):
        own = [row for row in rows if row["run"] == run]
        text += f"\n`{run}`, {bases} base{'s' * (bases > 1)}:\n\n{pairs(own, bases)}\n"
    return f"""\
## Images and steps

`python benchmarks/fit_budget.py FLOAT_RUN DATA_DIR`: top-1 by images (across) and steps of 32 (down), seed 0,
on {rows[0]["n"]:,} test images. {measured(rows, PACKAGES)}

![top-1 over steps, a line for each number of images](images/{PLOT.name})
{text.rstrip()}"""


def curves(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """(run, bases) of every diagram."""
    return list(dict.fromkeys((row["run"], row["bases"]) for row in rows if row["bases"]))


def pairs(rows: list[dict[str, Any]], bases: int) -> str:
    tops = {(row["images"], row["steps"]): row["top1"] for row in rows if row["bases"] == bases}
    images = sorted({at for at, _ in tops})
    cells = [
        [f"{steps:,}", *(f"{tops[at, steps]:.2f}" if (at, steps) in tops else "" for at in images)]
        for steps in sorted({steps for _, steps in tops})
    ]
    return f"Float: {of_float(rows)}.\n\n" + table(["steps", *(f"{at:,}" for at in images)], cells)


def of_float(rows: list[dict[str, Any]]) -> float:
    return next(row["top1"] for row in rows if row["bases"] is None)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Top-1 over steps, a line for each number of images; the float network's is dashed."""
    import matplotlib
    from matplotlib.figure import Figure

    from binarize.reporting.curves import INCHES, NO_METADATA, STYLE

    panels = curves(rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0] * len(panels), INCHES[1]), layout="constrained")
        for axes, (run, bases) in zip(
            figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True
        ):
            own = [row for row in rows if row["run"] == run]
            fitted = [row for row in own if row["bases"] == bases]
            for images in sorted({row["images"] for row in fitted}):
                line = sorted(
                    (row["steps"], row["top1"]) for row in fitted if row["images"] == images
                )
                axes.plot(*zip(*line, strict=True), marker=".", lw=1.2, label=f"{images:,} images")
            axes.axhline(of_float(own), color="0.5", ls="--", lw=1, label="float")
            title = f"{run}, {bases} base{'s' * (bases > 1)}: top-1, %"
            axes.set(title=title, xlabel="steps of 32", xscale="log")
            axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata=NO_METADATA)


def time() -> str:
    rows = found("fit_time")
    if not rows:
        return ""
    phases = sorted(
        {words for row in rows for fit in row["fit"].values() for words in fit["phases"]}
    )
    cells = []
    for bases in rows[0]["fit"]:
        fits = [row["fit"][bases] for row in rows]
        seconds = {
            words: statistics.median(fit["phases"].get(words, 0) for fit in fits)
            for words in phases
        }
        inner = {words: value for words, value in seconds.items() if value >= 1}
        cells.append(
            [
                bases,
                f"{statistics.median(row['float_s'] for row in rows):.1f}",
                f"{statistics.median(sum(fit['phases'].values()) for fit in fits):.1f}",
                f"{statistics.median(fit['ratio'] for fit in fits):.2f}x",
                ", ".join(f"{words} {value:.1f}" for words, value in inner.items()),
            ]
        )
    head: Sequence[str] = ["bases", "float training, s", "convert and fit, s", "ratio", "of these"]
    return f"""\
## How long

`python benchmarks/fit_time.py`: CPU seconds of `convert` with a fit in {rows[0]["steps"]} steps of
{rows[0]["batch"]}, beside as many training steps of the float network in the same round; `cifar_resnet20`,
images in memory, one thread, {len(rows)} round{"s" * (len(rows) > 1)}. {measured(rows, PACKAGES)}

{table(head, cells)}"""


if __name__ == "__main__":
    main()
