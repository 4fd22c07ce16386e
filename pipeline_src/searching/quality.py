"""How good subnets are, measured on validation images."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.metrics.psnr_ssim import luma, psnr
from pipeline_src.metrics.validation import upscale, validation_crops
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet


class Judge:
    """Measures subnets of one scale on the middle crops of ``images`` validation images, spread over all.

    The figure is by how many dB the mean PSNR Y is above that of bicubic upscaling. Each subnet is measured by one
    thread as a net of its own, ``threads`` of them side by side, and never twice.
    """

    def __init__(
        self, supernet: Supernet, validation: ImagePairs, scale: int, images: int, crop: int, threads: int
    ) -> None:
        self.supernet, self.scale, self.threads = supernet, scale, threads
        pairs, of_bicubic = validation_crops(validation, validation.spread(images), scale, crop)
        self.pairs = [(torch.tensor(lr), luma(hr)) for lr, hr in pairs]
        if not pairs:
            raise UserError(f"the validation images of {validation.path} are all flat; raise search's images")
        self.bicubic = float(np.mean(of_bicubic))
        self._known: dict[tuple[tuple[str, int], ...], float] = {}

    def over_bicubic(self, subnets: Sequence[Subnet], what: str) -> list[float]:
        """Of each subnet its figure; ``what`` is told beside the progress."""
        new = {key: subnet for subnet in subnets if (key := tuple(subnet.items())) not in self._known}
        with ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            figures = tqdm(pool.map(self._measure, new.values()), what, total=len(new), unit="subnet", mininterval=1)
            self._known |= dict(zip(new, figures, strict=True))
        return [self._known[tuple(subnet.items())] for subnet in subnets]

    def _measure(self, subnet: Subnet) -> float:
        net = extract_subnet(self.supernet, subnet)
        found = [psnr(y, luma(upscale(net, lr).numpy()), self.scale) for lr, y in self.pairs]
        return float(np.mean(found)) - self.bicubic


def extract_subnet(supernet: Supernet, subnet: Subnet) -> nn.Module:
    """Return a subnet as a net by itself in eval mode, with copies of the supernet's weights."""
    net = supernet.build_subnet(subnet)
    net.load_state_dict(supernet.subnet_weights(subnet))
    return net.eval()
