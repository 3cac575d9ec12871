"""Makes the shared cases importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "asking"))  # for scripted_server
sys.path.insert(0, str(Path(__file__).parent))
