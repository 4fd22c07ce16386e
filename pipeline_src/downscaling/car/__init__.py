"""CAR's learned downscaler, for ×2 and ×4. The published code is not used; the formulas are its paper's.

A net of the upscaler's kind rebuilds the image from what this one keeps, and both are trained together.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TILE, OVERLAP = 768, 256  # HR pixels; what a tile keeps is farther from its border than the net sees,
MOST_BLOCKS = 10  # with up to so many blocks: 122 pixels


def build(
    scales: list[int], entry: int = 64, features: int = 128, head: int = 256, blocks: int = 5, offsets: bool = True
) -> Any:
    """The untrained downscaler for the one scale of ``scales``, from torch's generator; defaults as published."""
    from pipeline_src.downscaling.car.network import MULTIPLE, Downscaler

    if len(scales) != 1 or MULTIPLE % scales[0]:
        raise ValueError(f"CAR has one scale, 2 or 4, not {scales}: its kernels are made at an eighth of the size")
    if blocks > MOST_BLOCKS:
        raise ValueError(
            f"CAR has at most {MOST_BLOCKS} blocks here, not {blocks}: more see farther than its tiles overlap"
        )
    return Downscaler(scales[0], entry, features, head, blocks, offsets)


def downscale(net: Any, hr: "np.ndarray") -> "np.ndarray":
    """LR, uint8 ⌈H/s⌉×⌈W/s⌉×3 or without the 3, of HR, uint8 H×W×3 or H×W, in tiles that do not show."""
    import numpy as np
    import torch

    from pipeline_src.imaging.colour import as_rgb, to_grey
    from pipeline_src.imaging.tiles import spans

    scale = net.scale
    device = next(net.parameters()).device
    rgb = as_rgb(hr)
    lr = np.empty((*(-(-side // scale) for side in rgb.shape[:2]), 3), np.uint8)
    for top, rows in spans(rgb.shape[0], TILE, OVERLAP, 8):
        for left, columns in spans(rgb.shape[1], TILE, OVERLAP, 8):
            tile = torch.from_numpy(rgb[top : top + TILE, left : left + TILE].astype(np.float32)).to(device)
            with torch.inference_mode():
                out, _ = net(tile.permute(2, 0, 1)[None])
            small = out[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).cpu().numpy()
            (y0, y1), (x0, x1) = ((span.start // scale, -(-span.stop // scale)) for span in (rows, columns))
            y, x = top // scale, left // scale
            lr[y0:y1, x0:x1] = small[y0 - y : y1 - y, x0 - x : x1 - x]
    return lr if hr.ndim == 3 else to_grey(lr)
