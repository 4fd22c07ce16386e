"""The adaptive resampler: what it computes, its gradients, and that all its ways agree."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline_src.downscaling.car import fused, resampler

WIDE, TALL = (3, 7), (7, 3)  # LR pixels: the published code loses gradients where a side is longer than the height


def random_taps(scale: int, size: tuple[int, int], n: int = 2, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """HR already padded, kernels that sum to 1, and offsets, some of which lead beyond the border."""
    k, (h, w) = resampler.taps_of(scale), size
    pad = 2 * (k // 2)
    kernels = torch.rand(n, k * k, h, w, dtype=dtype)
    hr = 255 * torch.rand(n, 3, h * scale + pad, w * scale + pad, dtype=dtype)
    down, across = (2 * torch.rand(n, k * k, h, w, dtype=dtype) - 1 for _ in range(2))
    return [hr, kernels / kernels.sum(1, keepdim=True), down, across]


def gradients(way, hr: Tensor, *taps_and_scale, weights: Tensor) -> list[Tensor]:
    *taps, scale = taps_and_scale
    leaves = [x.detach().requires_grad_() for x in taps]
    return list(torch.autograd.grad((way(hr, *leaves, scale) * weights).sum(), leaves))


@pytest.mark.parametrize("size", [WIDE, TALL])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("way", [resampler.adaptive_resample, resampler.reference, resampler.by_grid_sample])
def test_a_delta_kernel_without_offsets_samples_between_pixels(way, scale: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    hr, kernels, down, across = random_taps(scale, size)
    k = resampler.taps_of(scale)
    for i, j in ((0, 0), (k // 2, k // 2), (1, k - 1)):
        delta = torch.zeros_like(kernels)
        delta[:, i * k + j] = 1
        lr = way(hr, delta, torch.zeros_like(down), torch.zeros_like(across), scale)
        # (x + 0.5)·s − 0.5 + tap is half an odd number: the mean of the four pixels around it
        y, x = (scale // 2 - 1 + tap for tap in (i, j))
        means = functional.avg_pool2d(hr, 2, stride=1)[..., y::scale, x::scale]
        torch.testing.assert_close(lr, means[..., : size[0], : size[1]], atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_constant_image_stays_constant_whatever_the_offsets(scale: int) -> None:
    torch.manual_seed(0)
    hr, *taps = random_taps(scale, WIDE)
    lr = resampler.adaptive_resample(torch.full_like(hr, 97.0), *taps, scale)
    torch.testing.assert_close(lr, torch.full_like(lr, 97.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [WIDE, TALL])
def test_gradients_are_those_of_finite_differences(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    hr, *taps = random_taps(2, size, n=1, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in taps]
    assert torch.autograd.gradcheck(
        lambda *x: resampler.adaptive_resample(hr, *x, 2), leaves, eps=1e-7, atol=1e-4, fast_mode=True
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [WIDE, TALL])
@pytest.mark.parametrize("scale", [2, 4])
def test_all_ways_agree(scale: int, size: tuple[int, int], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    exact = [x.contiguous(memory_format=layout) for x in random_taps(scale, size, dtype=torch.float64)]
    single = [x.float() for x in exact]
    weights = torch.randn(2, 3, *size)
    # In single precision a tap beside a pixel may land on the other side of it, where the slope is another.
    for way, (hr, *taps), like, image, slope in (
        (resampler.by_grid_sample, exact, exact, 1e-9, 1e-6),
        (resampler.adaptive_resample, single, single, 2e-3, 0.02),
    ):
        lr, expected = way(hr, *taps, scale), resampler.reference(*like, scale)
        torch.testing.assert_close(lr, expected, atol=image, rtol=0)
        mine = gradients(way, hr, *taps, scale, weights=weights)
        plain = gradients(resampler.reference, *like, scale, weights=weights)
        for gradient, known in zip(mine, plain, strict=True):
            assert gradient.abs().sum(1).all()  # at every LR pixel
            torch.testing.assert_close(gradient, known, atol=slope, rtol=1e-3)
    assert torch.equal(fused.forward(*single, scale), resampler.adaptive_resample(*single, scale))


def test_every_pixel_of_a_landscape_crop_has_a_gradient() -> None:
    torch.manual_seed(0)
    hr, *taps = random_taps(4, (2, 9), n=1)
    for gradient in gradients(resampler.adaptive_resample, hr, *taps, 4, weights=torch.ones(1, 3, 2, 9)):
        assert (gradient.abs().sum(1) > 0).all()


def test_it_is_an_operator_of_torch() -> None:
    torch.manual_seed(0)
    torch.library.opcheck(
        torch.ops.super_resolution.adaptive_resample.default,
        (*[x.requires_grad_(i > 0) for i, x in enumerate(random_taps(2, WIDE, n=1))], 2),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("scale", [2, 4])
def test_the_gpu_agrees(scale: int) -> None:
    torch.manual_seed(0)
    hr, *taps = random_taps(scale, WIDE)
    weights = torch.randn(2, 3, *WIDE)
    on_gpu = [x.cuda() for x in (hr, *taps)]
    lr = resampler.adaptive_resample(*on_gpu, scale)
    torch.testing.assert_close(lr.cpu(), resampler.reference(hr, *taps, scale), atol=2e-3, rtol=0)
    plain = gradients(resampler.reference, hr, *taps, scale, weights=weights)
    fast = gradients(resampler.adaptive_resample, *on_gpu, scale, weights=weights.cuda())
    for gradient, expected in zip(fast, plain, strict=True):
        torch.testing.assert_close(gradient.cpu(), expected, atol=0.02, rtol=1e-3)


@pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="needs Triton, which the CPU build of torch has not")
def test_the_kernels_for_a_gpu_agree_in_tritons_interpreter(tmp_path: Path) -> None:
    """Its interpreter runs them on a CPU; the variable must be set before they are compiled."""
    torch.manual_seed(0)
    hr, *taps = random_taps(4, TALL)
    weights = torch.randn(2, 3, *TALL)
    torch.save([hr, *taps, weights], tmp_path / "in.pt")
    script = (
        "import sys, torch\nfrom pipeline_src.downscaling.car import triton_kernels as gpu\n"
        "*tensors, weights = torch.load(sys.argv[1], weights_only=True)\n"
        "torch.save([gpu.forward(*tensors, 4), *gpu.backward(weights, *tensors, 4)], sys.argv[2])\n"
    )
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    files = [str(tmp_path / name) for name in ("in.pt", "out.pt")]
    subprocess.run([sys.executable, "-c", script, *files], check=True, env=environment)
    image, *mine = torch.load(files[1], weights_only=True)
    torch.testing.assert_close(image, resampler.reference(hr, *taps, 4), atol=2e-3, rtol=0)
    plain = gradients(resampler.reference, hr, *taps, 4, weights=weights)
    for gradient, expected in zip(mine, plain, strict=True):
        torch.testing.assert_close(gradient, expected, atol=0.02, rtol=1e-3)


def test_offsets_that_are_not_numbers_lead_nowhere_else() -> None:
    """As in a training that has just diverged: every place that is read stays within the image."""
    torch.manual_seed(0)
    hr, kernels, down, across = random_taps(4, WIDE)
    down[:, ::2], across[:, 1::3] = float("nan"), float("inf")
    for _ in range(20):
        assert resampler.adaptive_resample(hr, kernels, down, across, 4).shape == (2, 3, *WIDE)
