"""Parameters and Mult-Adds of a convolution, worked out by hand."""

from torch import nn

from pipeline_src.metrics.complexity import mult_adds, parameters


def test_a_convolution_at_the_lr_size_of_a_720p_image() -> None:
    net = nn.Sequential(nn.Conv2d(3, 27, 3, padding=1), nn.PixelShuffle(3))
    assert parameters(net) == 3 * 27 * 9 + 27
    assert mult_adds(net, 3) == 3 * 27 * 9 * 720 * 1280 // 9


def test_a_grouped_convolution_counts_its_groups_only() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=4))
    assert mult_adds(net, 1) == (3 * 8 + 8 * 2 * 9) * 720 * 1280
