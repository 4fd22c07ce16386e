"""Time our training loop and our patch loader beside the plain loop that the published codes train with.

    python benchmarks/training.py --system carn_m --threads 2

The plain loop, as those codes have it: float32, NCHW memory, h5py reads whole images, every step loads the patches of
all scales and uses one, nothing is loaded ahead. Same net, batch, patches' size, loss, optimiser and device; the two
take turns in one run. Needs results/build_h5/train.h5 (make report), or another training file.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HR_PIXELS_AT_720P = 1280 * 720


def plain_batches(h5: Any, scales: list[int], patch: int, batch: int) -> Iterator[list[tuple[Any, Any]]]:
    """Endless batches of all scales, float NCHW in 0..1; images smaller than a patch are left out."""
    import torch

    random = np.random.default_rng(1)

    groups = {scale: h5["training"][f"X{scale}"] for scale in scales}
    kept = plain_names(h5, scales, patch)
    while True:
        pairs: list[list[tuple[Any, Any]]] = [[] for _ in scales]
        for _ in range(batch):
            name = random.choice(kept)
            hr = h5["training"]["HR"][name][()]
            for place, scale in enumerate(scales):
                lr = groups[scale][name][()]
                y, x = (random.integers(side - patch + 1) for side in lr.shape[:2])
                small = lr[y : y + patch, x : x + patch]
                large = hr[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
                if random.random() < 0.5:
                    small, large = np.fliplr(small), np.fliplr(large)
                turns = random.integers(4)
                pairs[place].append(tuple(
                    torch.from_numpy(np.rot90(part, turns).transpose(2, 0, 1).copy()).float() / 255
                    for part in (small, large)
                ))  # fmt: skip
        yield [tuple(torch.stack(side) for side in zip(*pair, strict=True)) for pair in pairs]  # type: ignore[misc]


def plain_names(h5: Any, scales: list[int], patch: int) -> list[str]:
    names = [f"{group}/{name}" for group, images in h5["training"]["HR"].items() for name in images]
    return [name for name in names if all(min(h5["training"][f"X{s}"][name].shape[:2]) >= patch for s in scales)]


def plain_step(
    net: Any, optimiser: Any, batches: Iterator[Any], scales: list[int], clip: float | None, device: Any
) -> None:
    import torch

    place = int(torch.randint(len(scales), ()))
    lr, hr = (part.to(device) for part in next(batches)[place])
    sr = net.at_scale(scales[place])(lr * 255) / 255
    loss = torch.nn.functional.l1_loss(sr, hr)
    optimiser.zero_grad()
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimiser.step()
    loss.item()


def seconds(run: Callable[[], object], device: Any) -> float:
    import torch

    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values: list[float]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:9.1f} ({low:.1f}–{high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="carn_m", help="of params.yaml (default carn_m)")
    parser.add_argument("--batch", type=int, default=4, help="default 4")
    parser.add_argument("--patch", type=int, default=64, help="LR pixels (default 64)")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--steps", type=int, default=20, help="of each loop in a round (default 20)")
    parser.add_argument("--rounds", type=int, default=4, help="default 4")
    parser.add_argument("--h5", type=Path, help="default results/build_h5/train.h5")
    parser.add_argument("--no-compile", action="store_true", help="ours without torch.compile")
    args = parser.parse_args()

    import h5py
    import torch

    from pipeline_src import config, paths
    from pipeline_src.datasets.hdf5 import ImagePairs
    from pipeline_src.datasets.patches import Patches
    from pipeline_src.models import build
    from pipeline_src.training.devices import precision_of, torch_device
    from pipeline_src.training.loop import TrainingRun, _parts, fit

    spec, path = config.load().system(args.system), args.h5 or paths.TRAIN_H5
    images = ImagePairs(path, "training")
    device = torch_device("auto", args.threads)
    precision = precision_of("auto", device)
    recipe = spec.train.model_copy(
        update={"steps": 10**9, "batch": args.batch, "patch": args.patch, "patch_of": "lr", "loss": "l1", "start": None}
    )
    scales, clip = spec.scales, recipe.clip
    augment = recipe.augment
    patches = Patches(images, scales, patch=args.patch, batch=args.batch, seed=1, augment=augment)
    file = h5py.File(path)
    theirs = plain_batches(file, scales, args.patch, args.batch)

    def patches_per_second(step: Callable[[int], object], first: int) -> float:
        taken = seconds(lambda: [step(first + i) for i in range(args.steps)], device)
        return args.steps * args.batch / taken

    def tensors(step: int) -> object:
        return list(_parts(patches.at(step), 1, torch.device("cpu")))

    loader: dict[str, list[float]] = {"ours": [], "plain": []}
    for turn in range(args.rounds):
        loader["ours"].append(patches_per_second(tensors, turn * args.steps))
        loader["plain"].append(patches_per_second(lambda _: next(theirs), 0))

    torch.manual_seed(1)
    net, plain_net = (build(spec.model, scales, spec.net) for _ in range(2))
    plain_net.to(device).train()
    optimiser = torch.optim.Adam([p for p in plain_net.parameters() if p.requires_grad], recipe.lr)
    loop: dict[str, list[float]] = {"ours": [], "plain": []}
    warm_up = 4 * len(scales)  # every scale is compiled in its first step
    began = 0.0

    class Enough(Exception):
        pass

    def between_steps(step: int) -> None:
        nonlocal began
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if step >= warm_up and (step - warm_up) % args.steps == 0:
            if step > warm_up:
                loop["ours"].append(args.steps * args.batch / (now - began))
            if len(loop["ours"]) == args.rounds:
                raise Enough
            one = lambda _: plain_step(plain_net, optimiser, theirs, scales, clip, device)  # noqa: E731
            if step == warm_up:
                one(0)
            loop["plain"].append(patches_per_second(one, 0))
            began = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        run = TrainingRun(
            name="ours",
            device=device,
            precision=precision,
            compiled=not args.no_compile,
            checkpoint=Path(folder) / "none",
            checkpoint_every=10**9,
            validate=lambda net: {},
            validate_every=10**9,
            before_step=between_steps,
        )
        fit(net, patches, recipe, run)

    print(
        f"\n{args.system} at {scales}, batch {args.batch}, patches of {args.patch} LR pixels, {device.type}, "
        f"{args.threads} threads, ours in {str(precision).removeprefix('torch.')}"
        f"{'' if args.no_compile else ', compiled'}"
    )
    print(f"patches per second, median (quartiles) of {args.rounds} rounds of {args.steps} steps each, in turns")
    print(f"{'':12}{'ours':>26}{'plain':>26}   ours/plain")
    for name, rates in (("loader alone", loader), ("training", loop)):
        ratio = np.median(np.array(rates["ours"]) / np.array(rates["plain"]))
        print(f"{name:12}{spread(rates['ours']):>26}{spread(rates['plain']):>26}   {ratio:.2f}")
    lost = len(images.names) - len(plain_names(file, scales, args.patch))
    print(f"images lost for being smaller than a patch: ours 0, plain {lost} of {len(images.names)}")
    print_limits(net, scales, args, loop, loader, device, precision)


def print_limits(net: Any, scales: list[int], args: Any, loop: Any, loader: Any, device: Any, precision: Any) -> None:
    """What the machine could do at most, as torch's own matrix product and NumPy's own copy reach it."""
    import torch

    from pipeline_src.metrics.complexity import mult_adds

    side = 2048 if device.type == "cpu" else 8192
    a = torch.rand(side, side, device=device).to(precision)
    fastest = min(seconds(lambda: a @ a, device) for _ in range(5))
    peak = side**3 / fastest / 1e9
    per_patch = np.mean([
        mult_adds(net.at_scale(s), s) / HR_PIXELS_AT_720P * (args.patch * s) ** 2 for s in scales
    ])  # fmt: skip
    needed = 3 * per_patch / 1e9  # forward, and backward to the inputs and to the weights
    reached = float(np.median(loop["ours"])) * needed
    print(
        f"arithmetic: {needed:.2f} G multiply-adds a patch; ours does {reached:.0f} G/s, a matrix product in "
        f"{str(precision).removeprefix('torch.')} here {peak:.0f} G/s: {100 * reached / peak:.0f} % of that"
    )
    size = 3 * args.patch**2 * (1 + np.mean(np.square(scales)))
    buffer = np.zeros(1 << 26, np.uint8)
    copied = buffer.size / min(seconds(buffer.copy, torch.device("cpu")) for _ in range(5))
    moved = float(np.median(loader["ours"])) * size
    print(
        f"loader: {size / 1e3:.0f} kB a patch; ours copies {moved / 1e9:.2f} GB/s, memory here "
        f"copies {copied / 1e9:.1f} GB/s: {100 * moved / copied:.0f} % of that"
    )


if __name__ == "__main__":
    sys.exit(main())
