"""What a trained network answers to each image that judges it, kept in the run for its report."""

from __future__ import annotations

import base64
import io
from collections import Counter
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image

from binarize.data import has_split, name_of, test_loader, val_loader
from binarize.models import full_precision, logits_of
from binarize.progress import Progress
from binarize.recipe import Recipe
from binarize.recipe.images import FILES
from binarize.rewrite import build
from binarize.run import Answers, Run, RunInfo, layout, write_json
from binarize.run.answers import LARGEST_PICTURE

WORST = 20
SIDE = 96
"""Pixels of a small picture, at most."""


def keep_answers(
    run: Run, info: RunInfo, recipe: Recipe, accelerator: Accelerator, progress: Progress
) -> None:
    """Write answers.json of a run that was trained on files with labels, by its last weights."""
    if recipe.data.name not in FILES or not info.classes:
        return
    data = recipe.data.model_copy(update={"cache": False})
    tested = has_split(data, "test")
    loader: Any = (
        test_loader(data, info.preprocess, classes=info.classes)
        if tested
        else val_loader(data, info.preprocess, info.classes)
    )
    progress.task("asking for every image's class", len(loader.dataset))
    device = accelerator.device
    found = _asked(build(run).to(device).eval(), loader, device, progress)
    answers = found.argmax(1)
    labels = loader.dataset.labels
    counts = Counter(zip(labels.tolist(), answers.tolist(), strict=True))
    own = found.gather(1, labels[:, None])[:, 0]
    wrong = torch.nonzero(answers != labels)[:, 0]
    worst = wrong[own[wrong].argsort(stable=True)][:WORST].tolist()
    record = Answers.make(
        images="test" if tested else "held-out",
        classes=info.classes,
        counts=[(label, answer, images) for (label, answer), images in sorted(counts.items())],
        worst=[
            {
                "image": name_of(loader.dataset, number),
                "label": int(labels[number]),
                "answer": int(answers[number]),
                "probability": round(float(found[number].max()), 6),
                "of_label": round(float(own[number]), 6),
                "picture": _picture(loader.dataset.images[number][0]),
            }
            for number in worst
        ],
    )
    write_json(run.path / layout.ANSWERS, record.to_json())


@torch.inference_mode()
def _asked(
    model: torch.nn.Module, loader: Any, device: torch.device, progress: Progress
) -> torch.Tensor:
    """Probabilities [images, classes]."""
    found, done = [], 0
    with full_precision():
        for images, _ in loader:
            found.append(logits_of(model(images.to(device))).float().softmax(1).cpu())
            done += len(images)
            progress.update(done)
    return torch.cat(found)


def _picture(image: Image.Image) -> str:
    """A small JPEG of an RGB image in base64; "" where it would not be small."""
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    text = base64.b64encode(packed.getvalue()).decode("ascii")
    return text if len(text) <= LARGEST_PICTURE else ""
