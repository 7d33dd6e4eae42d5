"""Pictures in, class names and probabilities out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from binarize import outputs
from binarize.choices import ON_ERROR, OnError
from binarize.data.decode import UnreadableImage, why
from binarize.data.transforms import test_transform
from binarize.errors import BinarizeError, DataError, near_words
from binarize.evaluation.targets import Predictor, Target, find_one
from binarize.models import imagenet_names, probabilities_of, why_no_softmax
from binarize.predicting.page import THUMBNAIL, write_predictions
from binarize.predicting.pictures import Picture, Source, find_pictures
from binarize.progress import Progress

TOP = 5
BATCH_SIZE = 64
WORKERS = 2
FEW = 256
"""Up to so many pictures are read faster than processes start."""


@dataclass(frozen=True)
class Prediction:
    """A class and its probability.

    Attributes:
        name: of the class; None where it is not known. Networks with a library's pretrained weights for
            ImageNet have its names.
        index: of the class.
        probability: 0 to 1.
    """

    name: str | None
    index: int
    probability: float


@dataclass(frozen=True)
class Answer:
    """What a target says of one picture.

    Attributes:
        image: the picture's path.
        predictions: the most probable class first.
    """

    image: str
    predictions: list[Prediction]

    def as_json(self) -> dict[str, Any]:
        """An entry of the JSON of `binarize predict`."""
        return {
            "image": self.image,
            "predictions": [
                {"class": one.name, "index": one.index, "probability": one.probability}
                for one in self.predictions
            ],
        }


@near_words
def predict(
    target: str | Path,
    images: Source | Sequence[Source],
    *,
    top: int = TOP,
    on_error: OnError = "stop",
    html: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    workers: int = WORKERS,
    kernels: bool = True,
    progress: Progress | None = None,
) -> list[Answer]:
    """What a run or an ONNX file says of pictures: the most probable classes of each.

    Args:
        target: a run, one of its checkpoints (RUN/best) or an ONNX file, which knows by itself how pictures
            are prepared and what its classes are called.
        images: a path, a PIL image, uint8[H, W, 3] or an open file, or several of them. Of a folder (or tar)
            all pictures, however deep, in natural order of their names.
        top: classes for each picture; all, where there are fewer.
        on_error: "skip" leaves out pictures that cannot be read, and `progress` is told; "stop" names one.
            Those of folders are looked for before the first answer.
        html: a page with the pictures, to be written as one file; nothing may be there yet.
        batch_size, workers, kernels: as for `evaluate`.
        progress: is told how many pictures are answered.

    Raises RunError, ExportError or CheckpointError for a target that cannot be read, DataError for pictures
    that cannot, and where there are none.
    """
    progress = progress or Progress()
    if top < 1:
        raise BinarizeError(
            f"top is {top}", "it is the number of classes that are shown: at least 1"
        )
    if on_error not in ON_ERROR:
        raise BinarizeError(f'on_error is "{on_error}"', f"choose {' or '.join(ON_ERROR)}")
    if html is not None:
        outputs.check_new_file(html)
    asked = find_one(target, kernels)
    pictures = find_pictures(images, on_error, progress)
    if not pictures:
        raise DataError("there are no images to answer", "name an image or a folder of images")
    answers, thumbnails = _answers(
        asked, pictures, top, on_error, html is not None, batch_size, workers, progress
    )
    if html is not None:
        write_predictions(Path(html), asked, answers, thumbnails)
    return answers


class _Prepared(Dataset[tuple[Tensor | None, str, bytes]]):
    """(a picture as the target takes it, or None and why there is none, its thumbnail)."""

    def __init__(self, pictures: Sequence[Picture], target: Target, thumbnails: bool) -> None:
        self.pictures, self.thumbnails = pictures, thumbnails
        self.transform = test_transform(target.preprocess)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor | None, str, bytes]:
        picture = self.pictures[index]
        try:
            image = picture.open()
        except UnreadableImage as error:
            return None, error.message, b""
        except (OSError, ValueError, MemoryError) as error:
            return None, f'image "{picture.name}" cannot be read: {why(error)}', b""
        prepared = self.transform(image)
        return prepared, "", self._thumbnail(image) if self.thumbnails else b""

    @staticmethod
    def _thumbnail(image: Any) -> bytes:
        file, image = io.BytesIO(), image.copy()  # it may be the caller's
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(file, "PNG" if max(image.size) < THUMBNAIL else "JPEG", quality=85)
        return file.getvalue()


def _answers(
    target: Target,
    pictures: Sequence[Picture],
    top: int,
    on_error: OnError,
    thumbnails: bool,
    batch_size: int,
    workers: int,
    progress: Progress,
) -> tuple[list[Answer], list[bytes]]:
    """The answers of the pictures that can be read, and their thumbnails."""
    prepared = _Prepared(pictures, target, thumbnails)
    loader = DataLoader(
        prepared,
        batch_size,
        num_workers=workers if len(pictures) > FEW else 0,
        collate_fn=_as_it_is,
    )
    predictor = target.predictor()
    answers: list[Answer] = []
    small: list[bytes] = []
    progress.task(f"predicting with {target.name}", len(pictures))
    done, skipped = 0, list[str]()
    end: str | None = None
    for batch in loader:
        names = [picture.name for picture in pictures[done : done + len(batch)]]
        read = [(name, *one) for name, one in zip(names, batch, strict=True) if one[0] is not None]
        for _, problem, _ in batch:
            if problem and on_error == "stop":
                raise UnreadableImage(problem)
            if problem:
                skipped.append(problem)
        if read:
            images = torch.stack([one[1] for one in read])
            end = predictor.end(images) if end is None else end
            found = _predictions(target, predictor, end, images, top)
            answers += [Answer(one[0], best) for one, best in zip(read, found, strict=True)]
            small += [one[3] for one in read]
        done += len(batch)
        progress.update(done)
    if skipped:
        progress.warn(f"skipped {len(skipped)} of {done} images; the first: {skipped[0]}")
    if not answers:
        raise DataError(f"none of {done} images can be read", "name images that can")
    return answers, small


def _as_it_is(batch: Any) -> Any:
    return batch


def _predictions(
    target: Target, predictor: Predictor, end: str, images: Tensor, top: int
) -> list[list[Prediction]]:
    """The `top` most probable classes of each image."""
    logits = predictor(images)
    why = why_no_softmax(logits, end)
    if why:
        raise DataError(
            f'"{target.name}" {why}', "predictions are of networks with a logit for each class"
        )
    count = logits.shape[1]
    names = imagenet_names(count) if target.library_classes else target.classes
    best = probabilities_of(logits).topk(min(top, count), dim=1)
    return [
        [
            Prediction(names[index] if names else None, index, _rounded(share))
            for share, index in zip(shares, indices, strict=True)
        ]
        for shares, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _rounded(probability: float) -> float:
    """To the digits that float32 has."""
    return float(f"{probability:.6g}")
