"""Time the PSNR and SSIM of this project beside plain NumPy and scikit-image's SSIM.

    python benchmarks/metrics.py --threads 2

One pair of images of 2040×1404, RGB uint8: a photograph of scikit-image enlarged to that size, and its bicubic ×4. The
variants take turns. Timed are the conversion of both images from RGB to Y, PSNR on Y and SSIM on Y. Checks that the
figures are the same:
SSIM by scikit-image with the Gaussian window of 11×11, σ = 1.5, where it lies inside the image, as in MATLAB's
``ssim_index``. scikit-image and plain NumPy have one thread.

The last lines are the limit of this machine: to read the two images once, and to do the arithmetic of a separable
Gaussian of 11 taps at the speed of a matrix product.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 2040, 1404
PARTS = ("RGB to Y", "PSNR", "SSIM")
TOLERANCE = 1e-4  # of SSIM, and in dB of PSNR


def plain_y(rgb: np.ndarray) -> np.ndarray:
    """Return Y of BT.601 in the studio range, rounded half up; uint8 in and out."""
    return np.floor(16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255 + 0.5).astype(np.uint8)


def plain_psnr(hr: np.ndarray, sr: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((hr.astype(float) - sr.astype(float)) ** 2))


def scikit_image_ssim(hr: np.ndarray, sr: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    _, similarity = structural_similarity(hr, sr, **options)
    return float(similarity[5:-5, 5:-5].mean())


def timed_parts(
    y: Callable[[np.ndarray], np.ndarray],
    psnr: Callable[[np.ndarray, np.ndarray], float],
    ssim: Callable[[np.ndarray, np.ndarray], float],
    hr: np.ndarray,
    sr: np.ndarray,
) -> tuple[list[float], float, float]:
    """Return the milliseconds of each of ``PARTS``, PSNR in dB, and SSIM."""
    times = [time.perf_counter()]
    hr, sr = y(hr), y(sr)
    times.append(time.perf_counter())
    decibels = psnr(hr, sr)
    times.append(time.perf_counter())
    similarity = ssim(hr, sr)
    times.append(time.perf_counter())
    return [1000 * float(step) for step in np.diff(times)], decibels, similarity


def limit(rounds: int) -> None:
    """Print the bytes and operations that no implementation can avoid, and how long they take here."""
    pixels = WIDTH * HEIGHT
    image, copy = np.ones((2, HEIGHT, WIDTH, 3), np.uint8), np.empty((2, HEIGHT, WIDTH, 3), np.uint8)
    matrix = np.ones((1024, 1024))
    copying, multiplying = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        np.copyto(copy, image)
        copying.append(time.perf_counter() - start)
        start = time.perf_counter()
        matrix @ matrix
        multiplying.append(time.perf_counter() - start)
    bandwidth = 2 * image.nbytes / min(copying)
    per_second = len(matrix) ** 3 / min(multiplying)
    # four maps (x, y, x² + y², x·y), two directions; 11 taps, symmetric: 5 sums and 6 multiply-adds; then 19 for SSIM
    operations = pixels * (4 * 2 * 11 + 19)
    print(
        f"limit: {image.nbytes / 1e6:.1f} MB read once, {1000 * image.nbytes / bandwidth:.1f} ms at the "
        f"{bandwidth / 1e9:.1f} GB/s of a copy; {operations / 1e6:.0f} million float64 operations, "
        f"{1000 * operations / per_second:.1f} ms at the {per_second / 1e9:.1f} billion multiply-adds per second of a "
        "matrix product"
    )


def main() -> None:
    import skimage.data

    from pipeline_src.benchmarking.latency import pin
    from pipeline_src.imaging.imresize import imresize
    from pipeline_src.metrics import psnr_ssim

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of ours (default 2)")
    parser.add_argument("--rounds", type=int, default=51, help="default 51")
    args = parser.parse_args()

    pin(args.threads)
    photo = Image.fromarray(skimage.data.astronaut()).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    hr = np.asarray(photo)
    sr = imresize(imresize(hr, 1 / 4), 4)

    def ours(threads: int) -> tuple[list[float], float, float]:
        return timed_parts(
            lambda rgb: psnr_ssim.luma(rgb, threads),
            lambda hr, sr: psnr_ssim.psnr(hr, sr, threads=threads),
            lambda hr, sr: psnr_ssim.ssim(hr, sr, threads=threads),
            hr,
            sr,
        )

    runs: dict[str, Callable[[], tuple[list[float], float, float]]] = {
        f"ours, {args.threads} threads": lambda: ours(args.threads),
        "ours, 1 thread": lambda: ours(1),
        "plain NumPy, scikit-image": lambda: timed_parts(plain_y, plain_psnr, scikit_image_ssim, hr, sr),
    }
    results = {name: [run()] for name, run in runs.items()}  # the first round compiles and is not counted
    for _ in range(args.rounds):
        for name, run in runs.items():
            results[name].append(run())

    print(f"{WIDTH}×{HEIGHT} pair, ms: median (IQR) of {args.rounds} rounds, and the least")
    print(f"{'':28}" + "".join(f"{title:>15}" for title in (*PARTS, "all", "least")) + f"{'dB':>10}{'SSIM':>12}")
    for name, rounds in results.items():
        times = np.array([times for times, _, _ in rounds[1:]])
        times = np.column_stack([times, times.sum(axis=1)])
        low, median, high = np.percentile(times, [25, 50, 75], axis=0)
        shown = [f"{m:.1f} ({h - lo:.1f})" for lo, m, h in zip(low, median, high, strict=True)]
        shown.append(f"{times[:, -1].min():.1f}")
        _, decibels, similarity = rounds[0]
        print(f"{name:28}" + "".join(f"{text:>15}" for text in shown) + f"{decibels:10.4f}{similarity:12.8f}")
    limit(args.rounds)

    figures = [rounds[0][1:] for rounds in results.values()]
    difference = np.ptp(np.array(figures), axis=0)
    print(f"largest difference: PSNR {difference[0]:.1e} dB, SSIM {difference[1]:.1e}")
    if difference.max() > TOLERANCE:
        sys.exit(f"error: the figures differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
