"""The quality of subnets, measured on validation images."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.metrics.psnr_ssim import luma, psnr
from pipeline_src.metrics.validation import upscale, validation_crops
from pipeline_src.models import SuperResolutionNet
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet
from pipeline_src.progress import progress_bar
from pipeline_src.weights import load_net


class SubnetEvaluator:
    """Measures the quality of subnets of one scale, each of them once.

    Quality is the mean PSNR Y less that of bicubic upscaling, in dB, on the middle crops of some validation images.
    Each subnet is extracted and measured by one thread.

    Args:
        supernet: whose subnets are measured.
        validation: the validation images.
        scale: the factor by which the subnets upscale.
        images: number of validation images to use, spread evenly over all.
        crop: height and width of a crop in LR pixels.
        threads: number of subnets that are measured at the same time.

    Raises:
        UserError: if all the validation images are flat.
    """

    def __init__(
        self, supernet: Supernet, validation: ImagePairs, scale: int, images: int, crop: int, threads: int
    ) -> None:
        self.supernet, self.scale, self.threads = supernet, scale, threads
        pairs, bicubic_psnrs = validation_crops(validation, validation.spread(images), scale, crop)
        if not pairs:
            raise UserError(f"the validation images of {validation.path} are all flat; raise search's images")
        self.pairs = [(torch.tensor(lr), luma(hr)) for lr, hr in pairs]
        self.bicubic_psnr = float(np.mean(bicubic_psnrs))
        self._measured: dict[tuple[tuple[str, int], ...], float] = {}

    def over_bicubic(self, subnets: Sequence[Subnet], label: str) -> list[float]:
        """Return the quality of each subnet in dB over bicubic; ``label`` is shown beside the progress bar."""
        new = {key: subnet for subnet in subnets if (key := tuple(subnet.items())) not in self._measured}
        with ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            qualities = progress_bar(pool.map(self._measure, new.values()), label, "subnet", total=len(new))
            self._measured |= dict(zip(new, qualities, strict=True))
        return [self._measured[tuple(subnet.items())] for subnet in subnets]

    def _measure(self, subnet: Subnet) -> float:
        net = extract_subnet(self.supernet, subnet).at_scale(self.scale)
        psnrs = [psnr(hr_luma, luma(upscale(net, lr).numpy()), self.scale) for lr, hr_luma in self.pairs]
        return float(np.mean(psnrs)) - self.bicubic_psnr


def load_supernet(path: Path, scales: Sequence[int]) -> tuple[Supernet, dict[str, Any]]:
    """Return the supernet of a weights file in eval mode, and its metadata.

    Raises:
        UserError: the file is missing or corrupt, holds no supernet, or one of other scales.
    """
    net, metadata = load_net(path, scales)
    if not isinstance(net, Supernet):
        raise UserError(f"{path} holds a net of the model {metadata['model']}, which has no subnets; retrain it")
    return net, metadata


def extract_subnet(supernet: Supernet, subnet: Subnet) -> SuperResolutionNet:
    """Return a subnet as a net by itself in eval mode, with copies of the supernet's weights."""
    net = supernet.build_subnet(subnet)
    net.load_state_dict(supernet.subnet_weights(subnet))
    return net.eval()
