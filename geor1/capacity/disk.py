"""What a run writes to its disk: resumable checkpoints by how the processes share the model, and the product."""

from __future__ import annotations

from geor1.capacity.memory import Counts, Holding, trained
from geor1.models.uploads import KEPT


def saved_bytes(numbers: Counts, holding: Holding) -> float:
    """Bytes of a resumable checkpoint.

    DDP and one process write every weight in float32, frozen ones as well, and AdamW's two moments of those that train.
    FSDP2 writes the same in shards. DeepSpeed writes weights in bfloat16 for transformers, weights again in its own
    files (ZeRO-2 all of them, and the frozen ones once more; ZeRO-3 only the frozen ones), and the moments with float32
    weights of what trains. A head that is tied to the embeddings is written once more by FSDP2 and ZeRO-2. With
    adapters they alone are written.

    Args:
        numbers: Of the model.
        holding: How it is held.
    """
    train = trained(numbers, holding)
    whole = train if holding.lora_rank else numbers.total
    twice = numbers.tied if holding.sharing in ("fsdp2", "deepspeed_zero2") and not holding.lora_rank else 0
    if holding.sharing.startswith("deepspeed"):
        own = whole - train if holding.sharing.endswith("3") else whole + (whole - train)
        return 2.0 * (whole + twice) + 2.0 * own + 12.0 * train
    return 4.0 * (whole + twice) + 8.0 * train


def disk_bytes(numbers: Counts, holding: Holding) -> float:
    """Bytes that a run needs free at most: the checkpoints kept, and beside them one more, or the product.

    Args:
        numbers: Of the model.
        holding: How it is held.
    """
    saved = saved_bytes(numbers, holding)
    return KEPT * saved + max(saved, product_bytes(numbers, holding))


def product_bytes(numbers: Counts, holding: Holding) -> float:
    """Bytes of the finished model, adapters merged: in float32, from DeepSpeed in bfloat16.

    Args:
        numbers: Of the model.
        holding: How it is held.
    """
    return (2.0 if holding.sharing.startswith("deepspeed") else 4.0) * numbers.total
