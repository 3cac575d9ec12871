"""Geo-R1, reproduced: cross-view pairing as an indirect reward for geospatial reasoning (arXiv 2510.00072)."""

__version__ = "0.1.0"
