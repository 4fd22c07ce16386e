"""Time batches of degraded patches beside plain ones, and beside the training step that they are loaded during.

    python benchmarks/degradation.py --h5 results/build_h5/train.h5

ABPN, batches of 16 patches of 48 LR pixels; the three take turns in one run. Prints the medians. Needs a training file
(make report) with the scales 2 and 4.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline_src.config import Degradation
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.datasets.patches import Batch, Patches
from pipeline_src.models import build

ABPN = {"channels": 28, "depth": 4, "residual": "anchor", "image_conv": True}


def timed(call: Any, *arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = call(*arguments)
    return result, 1000 * (time.perf_counter() - began)


def step(net: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch) -> None:
    lr, hr = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() for pixels in (batch.lr, batch.hr))
    optimiser.zero_grad()
    ((net(lr) - hr) / 255).pow(2).mean().backward()
    optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--h5", type=Path, default=Path("results/build_h5/train.h5"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for scale in (2, 4):
        how: dict[str, Any] = {"patch": 48, "batch": 16, "seed": 1, "sample_by": "set", "augment": ["hflip"]}
        images = ImagePairs(args.h5, "training")
        plain = Patches(images, [scale], **how)
        degraded = Patches(ImagePairs(args.h5, "training", degradation=Degradation()), [scale], **how)
        net: Any = build("abpn", [scale], ABPN)
        net.to(memory_format=torch.channels_last)
        optimiser = torch.optim.Adam(net.parameters(), 1e-3)
        times: dict[str, list[float]] = {"plain batch": [], "degraded batch": [], "training step": []}
        for number in range(args.steps):
            times["plain batch"].append(timed(plain.at, number)[1])
            batch, milliseconds = timed(degraded.at, number)
            times["degraded batch"].append(milliseconds)
            times["training step"].append(timed(step, net.at_scale(scale), optimiser, batch)[1])
        medians = ", ".join(f"{name} {statistics.median(values):.1f} ms" for name, values in times.items())
        print(f"×{scale}, {args.threads} threads, medians of {args.steps}: {medians}")


if __name__ == "__main__":
    main()
