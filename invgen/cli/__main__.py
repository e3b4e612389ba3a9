"""Let ``python -m invgen.cli`` be the command line."""

from __future__ import annotations

from invgen.cli import run

run()
