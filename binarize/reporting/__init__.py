"""What a training came to, on paper: the page of a run and its model card.

facts      what there is to say of a run; `description` says it
curves     lines over epochs, as SVG for the inside of a page
page       templates/ filled in
run_page   RUN/report.html; `settings`: by what it was made
card       RUN/README.md
reporting  both of them

`binarize.comparing` draws its page with the same parts.
"""

from __future__ import annotations

from binarize.reporting.reporting import Report, report

__all__ = ["Report", "report"]
