"""The smallest differences that matter; those of the report where it has one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """How large a difference must be to count, however certain it is.

    Attributes:
        psnr: of the mean PSNR on Y, in dB; as in the report, which takes no faster file that loses more.
        ssim: of the mean SSIM on Y; about what 0.02 dB are at 30 dB.
        latency: of the median, in per cent: two runs of one file differ by more than the calls of one run
            (``benchmarks/latency_between_runs.py``).
        size: of the file, in per cent.
        memory: of the peak memory, which is measured once, in per cent.
    """

    psnr: float = 0.02
    ssim: float = 0.0005
    latency: float = 10.0
    size: float = 1.0
    memory: float = 10.0
