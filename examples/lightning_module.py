"""The same network trained by Lightning: the estimators' progress as a callback.

pip install lightning
python examples/lightning_module.py
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from plain_pytorch import digits, network
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import binarize


class EstimatorSchedule(L.Callback):
    """`binarize.Schedule` over the optimiser steps of a fit, kept in Lightning's checkpoints."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = int(trainer.estimated_stepping_batches)
        self.schedule = binarize.Schedule(pl_module, steps)
        if self.saved is not None:
            self.schedule.load_state_dict(self.saved)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step > self.schedule.done:  # not after every batch, where they accumulate
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict


class Digits(L.LightningModule):
    """Any LightningModule will do: what is binary is the model inside it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.model(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main(epochs: int = 10, file: str = "digits-lightning.onnx") -> float:
    """Train and export; returns top-1 in per cent on the last 297 images."""
    L.seed_everything(0, verbose=False)
    images, labels = digits()
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    model = binarize.convert(network(), img_size=8, preprocess=preprocess)
    loader = DataLoader(TensorDataset(images[:1500], labels[:1500]), 64, shuffle=True)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[EstimatorSchedule()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(model), loader)
    model.eval()
    with torch.inference_mode():
        top1 = 100 * (model(images[1500:]).argmax(1) == labels[1500:]).float().mean().item()
    written = binarize.export(model, file, with_preprocess=True)
    print(f"top-1 {top1:.2f} %, {written.onnx}: {written.bytes:,} bytes")
    return top1


if __name__ == "__main__":
    main()
