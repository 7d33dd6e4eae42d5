"""What do binary bases keep of a trained network, without training and after a few steps?

    python benchmarks/bases_digits.py FLOAT_RUN [SEED]...

FLOAT_RUN is a float network that is trained on the digits, such as the float baseline of `make demo`
(TRAINED/twin). For 1, 2 and 3 bases, float and step activations: top-1 on the 360 test images as converted;
once the norms have measured 256 training images again; and, for each seed, after `STEPS` steps of 32 labelled
training images (SGD, cosine from 3e-3, no augmentation) with the norms measured again. One JSON line each is
added to benchmarks/results/bases_digits.jsonl.
"""

from __future__ import annotations

import math
import sys
import time

import torch
from result_lines import append
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

import binarize
from binarize import layers
from binarize.data.digits import digits
from binarize.rewrite import open_float
from binarize.run import Preprocess

STEPS, BATCH, RATE, NORMS = 30, 32, 3e-3, 256


def images(split: str, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    data = digits(split)
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return (data.pixels / 255 - mean) / std, data.labels


@torch.no_grad()
def top1(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    right = torch.cat([model(batch).argmax(1) for batch in x.split(120)]) == y
    return round(100 * right.float().mean().item(), 2)


def with_norms(model: nn.Module, x: Tensor, y: Tensor, train: Tensor) -> float:
    update_bn(train[:NORMS].split(64), model)
    return top1(model, x, y)


def learn(model: nn.Module, x: Tensor, y: Tensor, seed: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), RATE, 0.9, weight_decay=1e-4)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    model.train()
    for step, batch in enumerate(order[: STEPS * BATCH].split(BATCH)):
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        layers.set_progress(model, step / STEPS)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def main(run: str, seeds: list[int]) -> None:
    float_model = open_float(run)
    preprocess = float_model.info.preprocess
    (x, y), (train, labels) = (images(split, preprocess) for split in ("test", "train"))
    append("bases_digits", {"bases": None, "float": top1(float_model.model, x, y)})
    for activations in ("float", "step"):
        for bases in (1, 2, 3):
            model = binarize.convert(run, bases=bases, activations=activations)
            if activations == "step":
                layers.calibrate(model.eval(), train[:32].split(16))
            line = {"bases": bases, "activations": activations, "as_converted": top1(model, x, y)}
            append("bases_digits", line | {"norms_measured_again": with_norms(model, x, y, train)})
            for seed in seeds:
                state = {key: value.clone() for key, value in model.state_dict().items()}
                began = time.process_time()
                learn(model, train, labels, seed)
                took = round(time.process_time() - began, 1)
                after = {"seed": seed, "steps": STEPS, "cpu_s": took}
                append("bases_digits", line | after | {"trained": with_norms(model, x, y, train)})
                model.load_state_dict(state)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]] or [0])
