"""Once-for-all nets: supernets that are trained once and whose subnets are nets too.

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020, arXiv 1908.09791.
``supernet`` has the contract of a supernet, ``plain`` and ``mobile`` are the two spaces, and ``blocks`` describes the
blocks whose costs the search adds up.
"""

from collections.abc import Sequence

from pipeline_src.models import SuperResolutionNet
from pipeline_src.models.once_for_all.mobile import Mobile
from pipeline_src.models.once_for_all.plain import Plain
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet


def build(
    scales: list[int],
    space: str = "plain",
    widths: Sequence[int] = (16, 24, 32),
    depths: Sequence[int] = (1, 2, 3, 4),
    tails: Sequence[int] = (1,),
    kernels: Sequence[int] = (3, 5, 7),
    channels: int = 32,
    hr_channels: int = 8,
    subnet: Subnet | None = None,
) -> SuperResolutionNet:
    """Return a supernet, or one of its subnets as an ordinary net.

    Args:
        scales: the factors by which the net upscales; 2 and 4 in the mobile space.
        space: ``plain``, of 3×3 convolutions, or ``mobile``, of inverted residuals.
        widths: choices of the number of filters in the plain space, of the expansion in the mobile one.
        depths: choices of the number of layers of the plain net, or of blocks of each stage of the mobile one.
        tails: choices of the number of convolutions of 3·scale² filters at the end, 1 and 2; plain space only.
        kernels: choices of the side of depthwise convolutions; mobile space only.
        channels: features at the size of the LR image; mobile space only.
        hr_channels: features after each pixel shuffle; mobile space only.
        subnet: the genes of the subnet to return instead of the supernet.

    Raises:
        ValueError: an argument that the space does not allow.
    """
    if space not in ("plain", "mobile"):
        raise ValueError(f"the spaces are plain and mobile, not {space!r}")
    for name, choices in {"widths": widths, "depths": depths, "tails": tails, "kernels": kernels}.items():
        _check_choices(name, choices)
    if not {*tails} <= {1, 2}:
        raise ValueError(f"tails are 1 or 2, not {tails}")
    if not all(kernel % 2 for kernel in kernels):
        raise ValueError(f"kernels have odd sides, not {kernels}")
    if space == "mobile" and not {*scales} <= {2, 4}:
        raise ValueError(f"the mobile space upscales by 2 and 4, one pixel shuffle or two, not by {scales}")
    supernet: Supernet
    if space == "plain":
        supernet = Plain(scales, widths, depths, tails)
    else:
        supernet = Mobile(scales, widths, depths, kernels, channels, hr_channels)
    return supernet.build_subnet(supernet.subnet(subnet)) if subnet else supernet


def _check_choices(name: str, choices: Sequence[int]) -> None:
    if (
        not choices
        or not all(type(choice) is int and choice >= 1 for choice in choices)
        or len({*choices}) < len(choices)
    ):
        raise ValueError(f"{name} are different whole numbers of 1 or more, not {choices}")
