"""What a training came to, on paper: the page of a run and its model card.

facts       what there is to say of a run; `words` says it
curves      lines over epochs, as SVG for the inside of a page
page        templates/ filled in
run_page    RUN/report.html; `settings`: by what it was made
card        RUN/README.md
reporting   both of them

`binarize.compare` draws its page with the same parts.
"""

from __future__ import annotations

from binarize.report.reporting import Report, report

__all__ = ["Report", "report"]
