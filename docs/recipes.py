"""Write docs/recipes.md from the recipe schema: `python docs/recipes.py`."""

from __future__ import annotations

from pathlib import Path

from binarize.recipe import reference_markdown
from binarize.run import write_text

if __name__ == "__main__":
    write_text(Path(__file__).with_suffix(".md"), reference_markdown())
