"""What devices and links can do at best, and what share of that training gets.

Figures at best are the makers' data sheets (dense bfloat16, no sparsity). Shares are from published measurements,
named on their line, or assumptions, called so.
"""

from __future__ import annotations

import dataclasses

GIB = 1 << 30
GB = 10**9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """An accelerator and how it is connected.

    Attributes:
        memory_bytes: What a program can allocate.
        flops_per_s: bfloat16 with float32 sums, dense.
        bytes_per_s: Of its memory.
        link_bytes_per_s: Between devices of one machine, each way.
        network_bytes_per_s: Between machines, a device's share, each way.
        dollars_per_hour: An assumption, not an offer; ``--price`` changes it.
    """

    memory_bytes: int
    flops_per_s: float
    bytes_per_s: float
    link_bytes_per_s: float
    network_bytes_per_s: float
    dollars_per_hour: float


# Data sheets of NVIDIA H100 SXM, H200 SXM, A100 SXM 80 GB, L4, GeForce RTX 4090 and 3090. NVLink counts both ways
# there; half is each way. Between machines: 400 Gbit/s InfiniBand a device (A100: 200), 100 Gbit/s Ethernet for
# single cards.
DEVICES = {
    "h100": Device(
        memory_bytes=79 * GIB,
        flops_per_s=989e12,
        bytes_per_s=3.35e12,
        link_bytes_per_s=450e9,
        network_bytes_per_s=50e9,
        dollars_per_hour=2.5,
    ),
    "h200": Device(
        memory_bytes=139 * GIB,
        flops_per_s=989e12,
        bytes_per_s=4.8e12,
        link_bytes_per_s=450e9,
        network_bytes_per_s=50e9,
        dollars_per_hour=3.5,
    ),
    "a100": Device(
        memory_bytes=79 * GIB,
        flops_per_s=312e12,
        bytes_per_s=2.04e12,
        link_bytes_per_s=300e9,
        network_bytes_per_s=25e9,
        dollars_per_hour=1.5,
    ),
    "rtx4090": Device(
        memory_bytes=int(23.5 * GIB),
        flops_per_s=165e12,
        bytes_per_s=1.01e12,
        link_bytes_per_s=25e9,
        network_bytes_per_s=12e9,
        dollars_per_hour=0.4,
    ),
    "rtx3090": Device(
        memory_bytes=int(23.5 * GIB),
        flops_per_s=71e12,
        bytes_per_s=0.936e12,
        link_bytes_per_s=25e9,
        network_bytes_per_s=12e9,
        dollars_per_hour=0.25,
    ),
    "l4": Device(
        memory_bytes=22 * GIB,
        flops_per_s=121e12,
        bytes_per_s=0.3e12,
        link_bytes_per_s=25e9,
        network_bytes_per_s=12e9,
        dollars_per_hour=0.7,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Shares of the best, and costs that no data sheet knows.

    Attributes:
        compute: Of the floating-point operations done (layers computed again included) in training and prefill.
        bandwidth: Of the memory's, while decoding.
        link: Of a link's, in collective operations.
        launch_s: Seconds that a decoding pass takes whatever it computes: one in process, kernel by kernel, and
        launch_vllm_s: in vLLM, by captured graphs.
    """

    compute: float
    bandwidth: float
    link: float = 0.7
    launch_s: float = 0.03
    launch_vllm_s: float = 0.004


# Compute, upper end: 49.5 to 57 % of hardware operations for dense 7 B models in bfloat16 under FSDP on 8 H100 at 1k
# to 8k tokens (llm-foundry, scripts/train/benchmarking/README.md, tables of MPT on H100 80GB BF16). Lower end and
# middle are assumptions: transformers' layers are not fused, pictures differ in size, batches are small. Bandwidth:
# assumptions.
EFFICIENCIES = {
    "low": Efficiency(compute=0.2, bandwidth=0.4),
    "middle": Efficiency(compute=0.35, bandwidth=0.6),
    "high": Efficiency(compute=0.5, bandwidth=0.8),
}
PREPARE_S_PER_MEGAPIXEL = 0.018
"""Decoding a JPEG and cutting it into normalised patches, one core; measured (``papers/LOG.md``)."""
DISK_BYTES_PER_S = 1e9  # an assumption
CONTEXT_BYTES = int(1.2 * GB)
"""CUDA context, workspaces of matrix products, buffers of the collectives: an assumption."""
FRAGMENTATION = 0.05
"""Of what a pass makes and drops, lost by the allocator: an assumption (expandable segments on)."""
