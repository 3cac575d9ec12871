"""Makes the shared cases of the model tests importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "models"), str(Path(__file__).parent)]
