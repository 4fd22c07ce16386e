"""Time CAR's adaptive resampler, forward and backward, beside what plain torch offers for it.

    python benchmarks/resampler.py --threads 2

HR 192×192, ×4 (kernels of 13×13 taps), batch 4; the variants take turns, as exported files do
(``benchmarking/latency.py``). ``gather`` interpolates all taps at once from gathered neighbours, ``grid_sample`` does
so with torch's operator, ``ours`` is the pipeline's. Before timing, their LR images and gradients are compared. Peak
memory is measured in a child process, from before the first call.

The last lines are the limit of this machine: to read HR, kernels and offsets and to write gradients once at the speed
of a copy, or to do the arithmetic at that of a matrix product.
"""

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pipeline_src.benchmarking.latency import in_turns
from pipeline_src.downscaling.car import resampler

SCALE, SIDE, BATCH = 4, 192, 4
K = resampler.taps_of(SCALE)
# Per tap: the products and sums of 12 neighbours forward; the same again backward, and three gradients.
OPERATIONS = 2 * (12 + 8) + 2 * (12 + 14)

Resampler = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def gather(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Interpolate all taps at once from neighbours gathered from the flattened image."""
    n, c, height, width = hr.shape
    h, w = kernels.shape[2:]
    taps = torch.arange(K, device=hr.device)
    y = ((torch.arange(h, device=hr.device) + 0.5) * scale - 0.5)[:, None] + taps.repeat_interleave(K)[:, None, None]
    x = ((torch.arange(w, device=hr.device) + 0.5) * scale - 0.5) + taps.repeat(K)[:, None, None]
    y, x = y + scale * down, x + scale * across
    top, left = y.detach().floor().long(), x.detach().floor().long()
    fy, fx = y - top, x - left

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        return hr.flatten(2).gather(2, index.flatten(1)[:, None].expand(n, c, -1)).view(n, c, *y.shape[1:])

    fy, fx = fy[:, None], fx[:, None]
    above = at(top, left) * (1 - fx) + at(top, left + 1) * fx
    below = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx
    return ((above * (1 - fy) + below * fy) * kernels[:, None]).sum(2)


RESAMPLERS: dict[str, Resampler] = {
    "gather": gather,
    "grid_sample": resampler.by_grid_sample,
    "ours": resampler.adaptive_resample,
}


def inputs(device: str) -> tuple[list[Tensor], Tensor]:
    """Return padded HR, kernels and offsets, and the gradient of LR; taps are channels-last, as in the net."""
    torch.manual_seed(0)
    lr, pad = SIDE // SCALE, 2 * (K // 2)
    hr = 255 * torch.rand(BATCH, 3, SIDE + pad, SIDE + pad)
    kernels = torch.rand(BATCH, K * K, lr, lr)
    taps = [kernels / kernels.sum(1, keepdim=True), *(2 * torch.rand(2, BATCH, K * K, lr, lr) - 1)]
    taps = [tap.to(device).contiguous(memory_format=torch.channels_last).requires_grad_() for tap in taps]
    return [hr.to(device), *taps], torch.randn(BATCH, 3, lr, lr, device=device)


def forward_and_backward(resample: Resampler, tensors: list[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    lr = resample(*tensors, SCALE)
    return lr, *torch.autograd.grad(lr, tensors[1:], grad)


def milliseconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def peak_mib(name: str, threads: int) -> float:
    """Return the growth of resident memory by one forward and backward pass, measured in a child process."""
    command = [sys.executable, __file__, "--memory-of", name, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory(name: str) -> None:
    from pipeline_src.benchmarking.resident import MIB, peak, resident

    tensors, grad = inputs("cpu")
    if name == "ours":  # compile it on a small image first, since compilation is not measured
        small = [
            x[..., : x.shape[2] // 4, : x.shape[3] // 4].detach().requires_grad_(i > 0) for i, x in enumerate(tensors)
        ]
        forward_and_backward(RESAMPLERS[name], small, grad[..., :12, :12])
    before = resident()
    forward_and_backward(RESAMPLERS[name], tensors, grad)
    print((peak() - before) / MIB)


def limits(tensors: list[Tensor], device: str) -> tuple[float, float]:
    """Return the milliseconds of moving the bytes, as fast as a copy, and of the arithmetic, as a matrix product."""
    a = torch.randn(2048, 2048, device=device)
    flops = 2 * 2048**3 / (min(milliseconds(lambda: a @ a, device) for _ in range(5)) / 1e3)
    block, other = (torch.ones(2**26, device=device) for _ in range(2))
    speed = 2 * block.nbytes / (min(milliseconds(lambda: block.copy_(other), device) for _ in range(5)) / 1e3)
    taps = tensors[1].nbytes
    moved = 2 * tensors[0].nbytes + 6 * taps + 3 * taps
    return 1e3 * moved / speed, 1e3 * OPERATIONS * tensors[1].numel() / flops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--memory-of", choices=RESAMPLERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print_memory(args.memory_of)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors, grad = inputs(device)
    expected = forward_and_backward(resampler.reference, tensors, grad)
    for name, resample in RESAMPLERS.items():
        for result, reference in zip(forward_and_backward(resample, tensors, grad), expected, strict=True):
            # The mean, since the slope jumps where a tap falls on a pixel, and rounding decides between the two sides.
            error = float((result - reference).abs().mean() / reference.abs().mean())
            if error > 1e-3:
                sys.exit(f"{name} is off by {error:.1e}")
    calls = {name: partial(forward_and_backward, resample, tensors, grad) for name, resample in RESAMPLERS.items()}
    turns = {name: lambda call=call: {"ms": milliseconds(call, device)} for name, call in calls.items()}
    took = in_turns(turns, warmup=2, runs=args.runs, interval=math.inf, min_seconds=0, max_seconds=60)
    median = {name: latency["ms"].p50_ms for name, latency in took.items()}
    print(f"{device}, {args.threads} threads, HR {SIDE}×{SIDE}, ×{SCALE}, batch {BATCH}, forward and backward")
    for name, ms in median.items():
        memory = f", peak {peak_mib(name, args.threads):.0f} MiB" if device == "cpu" else ""
        print(f"{name:>12}: {ms:7.2f} ms{memory}; ours is {ms / median['ours']:.1f} times as fast")
    bytes_ms, operations_ms = limits(tensors, device)
    print(f"at best: {bytes_ms:.2f} ms for the bytes, {operations_ms:.2f} ms for the operations")
    print(f"ours reaches {max(bytes_ms, operations_ms) / median['ours']:.0%} of the limit that binds")


if __name__ == "__main__":
    main()
