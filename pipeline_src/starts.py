"""The weights that a training begins with."""

from pathlib import Path
from typing import Any

import torch

from pipeline_src.config import PinnedFile, Recipe
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.files import check_pinned
from pipeline_src.models import SuperResolutionNet, TorchModule
from pipeline_src.models.growing import grow
from pipeline_src.weights import IMPORT, build, load_net, load_state, load_tensors

IMAGES, CROP = 32, 48  # on which the batch norm of a grown net takes its statistics; LR pixels a side


def begin(net: SuperResolutionNet, model: str, recipe: Recipe, images: ImagePairs) -> None:
    """Give an untrained net the weights that a recipe begins with: those of ``start``, or the plain nets of ``grow``.

    Args:
        net: changed in place; as it is if the recipe names no weights.
        model: the package of ``pipeline_src.models`` that built it.
        recipe: how it is trained.
        images: the training images.

    Raises:
        UserError: if a file is missing or another one, or does not fit the net.
    """
    if recipe.start:
        load_into(net, recipe.start)
    if recipe.grow:
        parents = []
        for parent in recipe.grow:
            check_pinned(Path(parent.file), parent.sha256, "grow")
            parents.append(load_net(Path(parent.file))[0])
        try:
            grow(model, net, parents, _sample(images, net.description.scales[0]))
        except ValueError as error:
            files = ", ".join(parent.file for parent in recipe.grow)
            raise UserError(f"the net cannot grow from {files}: {error}") from None


def _sample(images: ImagePairs, scale: int) -> torch.Tensor:
    """Return the middles of some LR images, N×3×h×w in 0..255."""
    crops = images.middles(scale, IMAGES, CROP).values()
    side = min(min(crop.shape[:2]) for crop in crops)
    return torch.stack([torch.from_numpy(crop[:side, :side].copy()) for crop in crops]).permute(0, 3, 1, 2).float()


def load_into(net: TorchModule, start: PinnedFile) -> None:
    """Load weights to start from into ``net``; of a file of more scales, what belongs to those of the net.

    Raises:
        UserError: if the file is missing or another one, or its weights are of another architecture or lack a scale.
    """
    path = Path(start.file)
    check_pinned(path, start.sha256, "start")
    tensors, metadata = load_tensors(path, "correct start.file")
    if all(name.startswith("module.") for name in tensors):
        raise UserError(
            f"all names in {path} begin with module., because the net was in a DataParallel when it was saved; make "
            f"weights of it with `{IMPORT.format(path)}`, and give that file as start.file"
        )
    scales = " ".join(f"×{scale}" for scale in metadata.get("scales", []))
    made_as = " ".join(str(part) for part in (metadata.get("model", "another net"), scales) if part)
    fitting = _without_other_scales(tensors, metadata, net, str(path))
    load_state(net, fitting, f"{path} holds weights of {made_as}, which do not fit this system")


def _without_other_scales(
    tensors: dict[str, torch.Tensor], metadata: dict[str, Any], net: TorchModule, where: str
) -> dict[str, torch.Tensor]:
    """Return the tensors without those that the net of the file has only for scales that ``net`` lacks."""
    if not isinstance(net, SuperResolutionNet) or not {"model", "net", "scales"} <= metadata.keys():
        return tensors
    if not set(net.description.scales) < set(metadata["scales"]):
        return tensors
    of_all_scales = build(metadata["model"], metadata["scales"], metadata["net"], where).state_dict()
    surplus = of_all_scales.keys() - net.state_dict().keys()
    return {name: tensor for name, tensor in tensors.items() if name not in surplus}
