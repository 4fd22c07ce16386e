"""Time this project's version of MATLAB's bicubic beside a plain NumPy version of it and Pillow's own bicubic.

    python benchmarks/imresize.py --threads 2

One photograph of scikit-image, enlarged to 2040×1404; the three take turns. Checks that ours equals the plain version
in every pixel. Pillow's bicubic is a different, inexact one, and has one thread.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 2040, 1404


def plain_imresize(image: np.ndarray, scale: float, matlab: str = "uint8") -> np.ndarray:
    """Resize by the same algorithm in plain NumPy: sum the rows of each tap, then the columns; uint8 in and out."""

    def kernel(x: np.ndarray) -> np.ndarray:
        x = abs(x)
        inner, outer = 1.5 * (x * x * x) - 2.5 * (x * x) + 1, -0.5 * (x * x * x) + 2.5 * (x * x) - 4 * x + 2
        return inner * (x <= 1) + outer * ((x > 1) & (x <= 2))

    def one_pass(lines: np.ndarray) -> np.ndarray:
        length, size = len(lines), math.ceil(len(lines) * scale)
        squeeze = min(scale, 1)
        u = np.arange(1, size + 1) / scale + 0.5 * (1 - 1 / scale)
        left = np.floor(u - 2 / squeeze)
        taps = [left + p for p in range(math.ceil(4 / squeeze) + 2)]
        weights = [squeeze * kernel(squeeze * (u - tap)) for tap in taps]
        total = sum(weights)
        sums = np.zeros((size, *lines.shape[1:]))
        for tap, weight in zip(taps, weights, strict=True):
            if not weight.any():
                continue
            index = tap.astype(int) - 1
            if matlab == "uint8":
                index = index.clip(0, length - 1)
            else:
                index = np.append(np.arange(length), np.arange(length)[::-1])[index % (2 * length)]
            sums += (weight / total).reshape(-1, *[1] * (lines.ndim - 1)) * lines[index]
        return sums

    def to_uint8(sums: np.ndarray) -> np.ndarray:
        return np.floor(sums.clip(0, 255) + 0.5).astype(np.uint8)

    between = one_pass(image)
    between = to_uint8(between) if matlab == "uint8" else between
    return to_uint8(one_pass(between.swapaxes(0, 1)).swapaxes(0, 1))


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    import skimage.data

    from pipeline_src.imaging.imresize import imresize

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of ours (default 2)")
    parser.add_argument("--rounds", type=int, default=21, help="default 21")
    args = parser.parse_args()

    photo = Image.fromarray(skimage.data.astronaut()).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    hr = np.asarray(photo)
    cases = [("×1/2", 1 / 2, hr), ("×1/3", 1 / 3, hr), ("×1/4", 1 / 4, hr)]
    cases += [(f"×{scale}", scale, imresize(hr, 1 / scale)) for scale in (2, 3, 4)]
    print(f"{WIDTH}×{HEIGHT} RGB, median ms (IQR) of {args.rounds} rounds, ours on {args.threads} threads")
    print(f"{'':6}{'ours':>16}{'plain NumPy':>18}{'Pillow':>16}   plain/ours  Pillow/ours  ours = plain")
    for name, scale, image in cases:
        same = np.array_equal(imresize(image, scale, threads=args.threads), plain_imresize(image, scale))
        size = (math.ceil(image.shape[1] * scale), math.ceil(image.shape[0] * scale))
        pillow = Image.fromarray(image)
        runs: list[Callable[[], object]] = [
            lambda image=image, scale=scale: imresize(image, scale, threads=args.threads),
            lambda image=image, scale=scale: plain_imresize(image, scale),
            lambda pillow=pillow, size=size: pillow.resize(size, Image.Resampling.BICUBIC),
        ]
        times = np.array([[milliseconds(run) for run in runs] for _ in range(args.rounds)])
        low, medians, high = np.percentile(times, [25, 50, 75], axis=0)
        shown = [f"{m:.1f} ({h - lo:.1f})" for m, lo, h in zip(medians, low, high, strict=True)]
        ratios = f"{medians[1] / medians[0]:10.1f}  {medians[2] / medians[0]:11.1f}"
        print(f"{name:6}{shown[0]:>16}{shown[1]:>18}{shown[2]:>16}   {ratios}  {'yes' if same else 'NO'}", flush=True)
        if not same:
            sys.exit(f"error: ours differs from the plain version at {name}")


if __name__ == "__main__":
    main()
