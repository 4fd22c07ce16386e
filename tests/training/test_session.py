"""What training stages share: the validation images, the scales of weights, the identity of a checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shared import photograph

from pipeline_src.datasets import hdf5
from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.validation import validator
from pipeline_src.models import build
from pipeline_src.weights import load_net, save_net


def pairs(*validation: np.ndarray) -> Iterator[Any]:
    for index, hr in enumerate(validation):
        yield "validation", f"photographs/{index}", hr, {2: imresize(hr, 1 / 2)}


def test_a_flat_validation_image_is_left_out_and_only_flat_ones_are_refused(tmp_path: Path) -> None:
    """Bicubic restores it exactly: its PSNR is infinite, and so would be every mean with it."""
    part, flat = photograph("coffee.png")[100:164, 100:180], np.full((64, 80, 3), 255, np.uint8)
    net, found = build("abpn", [2], {"channels": 8, "depth": 1}), []
    for name, images in (("both", (flat, part)), ("one", (part,)), ("none", (flat,))):
        hdf5.write(tmp_path / f"{name}.h5", pairs(*images))
        validation = hdf5.ImagePairs(tmp_path / f"{name}.h5", "validation")
        if name == "none":
            with pytest.raises(UserError, match=r"every validation image of .*none\.h5 is flat; lower build_h5\.valid"):
                validator(validation, [2], 24, torch.device("cpu"))
        else:
            found.append(validator(validation, [2], 24, torch.device("cpu"))(net))
    assert found[0] == found[1]
    assert all(np.isfinite(value) for value in found[0].values())


def test_weights_of_other_scales_than_params_has_are_refused(tmp_path: Path) -> None:
    net = build("vdsr", [2, 3], {"channels": 8, "depth": 4})
    file = tmp_path / "weights.safetensors"
    save_net(file, net, {"model": "vdsr", "scales": [2, 3], "net": {"channels": 8, "depth": 4}})
    load_net(file, [2, 3])
    with pytest.raises(UserError, match=r"is of scales \[2, 3\], but params\.yaml asks for \[2, 3, 4\]; retrain it"):
        load_net(file, [2, 3, 4])
