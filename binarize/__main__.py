"""`python -m binarize`, for `accelerate launch -m binarize train …` and the like."""

from __future__ import annotations

import sys

from binarize.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
