"""Pages from templates: one file each, which needs nothing from elsewhere."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from binarize.printable import escaped
from binarize.run import write_text

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> Environment:
    """What renders the templates. They are read once, like code: a comparison runs for days."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write `template` with `values` in it; text is escaped where the template is HTML, control characters in
    every template."""
    text = environment().get_template(template).render(**values)
    write_text(path, escaped(text).rstrip() + "\n")


def svg(text: str) -> Markup:
    """An SVG drawn here: it goes into a page as it is."""
    return Markup(text)


def day(seconds: float) -> str:
    """`2026-11-21`, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
