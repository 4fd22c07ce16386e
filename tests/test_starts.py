"""The weights that a training begins with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_src.config import PinnedFile, Recipe
from pipeline_src.datasets import hdf5
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.models import build
from pipeline_src.starts import begin, load_into
from pipeline_src.weights import save_net


@pytest.mark.parametrize("model", ["carn", "ecdn", "vdsr"])
def test_a_net_of_fewer_scales_starts_from_weights_of_more(tmp_path: Path, model: str) -> None:
    arguments = {"vdsr": {"channels": 8, "depth": 4}, "carn": {"mobile": True, "groups": 4}, "ecdn": {"mobile": True}}
    net, file = build(model, [2, 3, 4], arguments[model]), tmp_path / "weights.safetensors"
    save_net(file, net, {"model": model, "scales": [2, 3, 4], "net": arguments[model]})
    start, at_x4 = PinnedFile(file=str(file), sha256=sha256(file)), build(model, [4], arguments[model])
    load_into(at_x4, start)
    image = torch.rand(1, 3, 12, 16) * 255
    assert torch.equal(at_x4.at_scale(4).eval()(image), net.at_scale(4).eval()(image))


def test_weights_of_another_net_with_more_scales_do_not_fit(tmp_path: Path) -> None:
    arguments = {"mobile": True, "groups": 4}
    file = tmp_path / "weights.safetensors"
    save_net(file, build("carn", [2, 4], arguments), {"model": "carn", "scales": [2, 4], "net": arguments})
    with pytest.raises(UserError, match="holds weights of carn ×2 ×4, which do not fit this system"):
        load_into(build("carn", [4], {}), PinnedFile(file=str(file), sha256=sha256(file)))


def plain_weights(folder: Path) -> PinnedFile:
    """Write an untrained ABPN ×4 and return the file."""
    file = folder / "abpn_x4.safetensors"
    save_net(file, build("abpn", [4], {}), {"model": "abpn", "scales": [4], "net": {}})
    return PinnedFile(file=str(file), sha256=sha256(file))


def training_images(folder: Path) -> hdf5.ImagePairs:
    """Return two training images, of 24×40 and 60×64 LR pixels at ×4."""
    random = np.random.default_rng(0)
    sizes = {"set/narrow.png": (24, 40), "set/wide.png": (60, 64)}
    images = [
        (
            "training",
            name,
            random.integers(0, 256, (4 * height, 4 * width, 3), np.uint8),
            {4: random.integers(0, 256, (height, width, 3), np.uint8)},
        )
        for name, (height, width) in sizes.items()
    ]
    hdf5.write(folder / "train.h5", images)
    return hdf5.ImagePairs(folder / "train.h5", "training")


def recipe(grow: list[PinnedFile]) -> Recipe:
    """Return a recipe that grows a net and does not train it."""
    return Recipe(steps=0, batch=1, patch=16, lr=1e-3, grow=grow)


@pytest.mark.parametrize("model", ["carn", "ecdn", "edsr"])
def test_a_training_begins_as_the_nets_that_grow_names(tmp_path: Path, model: str) -> None:
    net, image = build(model, [4], {}), torch.rand(1, 3, 12, 16) * 255
    begin(net, model, recipe([plain_weights(tmp_path)]), training_images(tmp_path))
    expected = image.repeat_interleave(4, 2).repeat_interleave(4, 3)  # an untrained ABPN repeats each pixel
    torch.testing.assert_close(net.at_scale(4).eval()(image), expected, rtol=0, atol=0.02)


def test_nets_that_do_not_fit_are_refused_with_the_names_of_their_files(tmp_path: Path) -> None:
    grow = [plain_weights(tmp_path)]
    with pytest.raises(UserError, match=r"cannot grow from .*abpn_x4\.safetensors: vdsr cannot hold plain nets"):
        begin(build("vdsr", [4], {}), "vdsr", recipe(grow), training_images(tmp_path))
    grow = [PinnedFile(file=grow[0].file, sha256="12345678")]
    with pytest.raises(UserError, match=r"abpn_x4\.safetensors has the SHA-256 .*, not grow\.sha256, 12345678"):
        begin(build("carn", [4], {}), "carn", recipe(grow), training_images(tmp_path))
