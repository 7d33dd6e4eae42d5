"""Answers beside their pictures: one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from binarize.evaluation.targets import Target
from binarize.reporting.page import write_page

if TYPE_CHECKING:
    from binarize.predicting.predicting import Answer

THUMBNAIL = 160
"""Pixels of a picture's longer side on the page, at most."""
PNG = b"\x89PNG"


def write_predictions(
    path: Path, target: Target, answers: Sequence[Answer], thumbnails: Sequence[bytes]
) -> None:
    """Write the page. `thumbnails` are PNG or JPEG files, one for each answer."""
    write_page(
        path,
        "predictions.html",
        title=f"{len(answers)} images, {_shown(Path(target.name).name)}",
        pictures=[
            {
                "name": _shown(answer.image),
                "source": _inline(thumbnail),
                "rows": [
                    (_shown(one.name or f"class {one.index}"), one.probability)
                    for one in answer.predictions
                ],
            }
            for answer, thumbnail in zip(answers, thumbnails, strict=True)
        ],
    )


def _inline(file: bytes) -> str:
    kind = "png" if file.startswith(PNG) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def _shown(name: str) -> str:
    """A file's name need not be text."""
    return name.encode("utf-8", "replace").decode()
