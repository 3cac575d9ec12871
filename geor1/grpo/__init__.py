"""03: group relative policy optimisation on the cross-view pairing proxy.

``from geor1.grpo import GeoGRPOTrainer, rewards`` gives the trainer and the reward terms.
"""

from typing import Any

__all__ = ["GeoGRPOTrainer", "rewards"]


def __getattr__(name: str) -> Any:
    """Load the trainer (and torch with it) when it is asked for, not when any part of the package is."""
    if name == "GeoGRPOTrainer":
        from geor1.grpo.trainer import GeoGRPOTrainer

        return GeoGRPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
