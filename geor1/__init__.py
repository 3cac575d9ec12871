"""Geo-R1, reproduced: cross-view pairing as an indirect reward for geospatial reasoning (arXiv 2510.00072)."""

import os

# Before torch is imported: two busy processes spin 10 to 30 times slower otherwise (OpenMP of torch's CPU build).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
