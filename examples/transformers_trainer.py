"""A ResNet of Hugging Face transformers, trained by its Trainer: the estimators' progress as a callback.

pip install transformers
python examples/transformers_trainer.py
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from plain_pytorch import digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import binarize

SIZE = 32


class EstimatorSchedule(TrainerCallback):
    """`binarize.Schedule` over the optimiser steps of a training. The Trainer's own checkpoints say how far
    it was: there is nothing to save."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.schedule = binarize.Schedule(given["model"], state.max_steps)
        self.schedule.load_state_dict({"steps": state.max_steps, "done": state.global_step})

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.schedule.step()


class Images(Dataset[dict[str, Tensor]]):
    """Images and labels under the names that the Trainer hands to the model."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def network() -> nn.Module:
    """A small one with random weights; `from_pretrained` gives a trained one."""
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32],
        depths=[1, 1],
        layer_type="basic",
        num_labels=10,
    )
    return ResNetForImageClassification(config)


def main(epochs: int = 5, file: str = "digits-transformers.onnx") -> float:
    """Train and export; returns top-1 in per cent on the last 297 images."""
    torch.manual_seed(0)
    images, labels = digits()
    images = F.interpolate(images, SIZE)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    model = binarize.convert(network(), img_size=SIZE, preprocess=preprocess)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=64,
            learning_rate=3e-3,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        data = Images(images[:1500], labels[:1500])
        Trainer(model, arguments, train_dataset=data, callbacks=[EstimatorSchedule()]).train()
    model.eval()
    with torch.inference_mode():
        answers = model(images[1500:]).logits.argmax(1)
    top1 = 100 * (answers == labels[1500:]).float().mean().item()
    written = binarize.export(model, file, with_preprocess=True)
    print(f"top-1 {top1:.2f} %, {written.onnx}: {written.bytes:,} bytes")
    return top1


if __name__ == "__main__":
    main()
