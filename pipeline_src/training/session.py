"""What the trainings of one stage share: images, device, precision, identity and resume checkpoints."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pipeline_src.config import Recipe, Train
from pipeline_src.datasets.hdf5 import ImagePairs, Split
from pipeline_src.datasets.patches import Patches
from pipeline_src.files import sha256
from pipeline_src.metrics.validation import Row, Validator, validator
from pipeline_src.models import SuperResolutionNet
from pipeline_src.paths import SCRATCH, TRAIN_H5
from pipeline_src.training.devices import precision_of, torch_device
from pipeline_src.training.loop import TrainingRun, fit
from pipeline_src.training.workers import Workers, join
from pipeline_src.weights import OtherLR

PACKAGE = Path(__file__).parents[1]
# Code that a resume checkpoint must not outlive: a half-trained net goes on only under the code that began it.
CODE = ("compression", "datasets", "downscaling", "graph", "imaging", "metrics", "models", "pruners.py", "training")


@dataclass(frozen=True)
class Options:
    """Options of one training that replace those of its session; None keeps what the session has.

    Attributes:
        scales: scales to train at, instead of all that the net has.
        seed: of the patches.
        validate: the validation, instead of a plain one at ``scales``.
        validate_every: steps.
        precision: dtype of the convolutions.
        compiled: whether to use torch.compile.
        lr_factors: child module of the net → factor of the learning rate.
        observe: called with each point of the curves while the training runs; see :class:`loop.TrainingRun`.
    """

    scales: Sequence[int] | None = None
    seed: int | None = None
    validate: Callable[[SuperResolutionNet], Row] | None = None
    validate_every: int | None = None
    precision: torch.dtype | None = None
    compiled: bool | None = None
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    observe: Callable[[Row], None] = lambda row: None


@dataclass
class TrainingSession:
    """What the trainings of one stage on one machine share.

    Attributes:
        settings: the section ``train`` of params.yaml.
        seed: of weights and patches.
        threads: that torch computes with.
        other_lr: LR images that take the place of bicubic's.
    """

    settings: Train
    seed: int
    threads: int
    other_lr: OtherLR | None = None
    device: torch.device = field(init=False)
    precision: torch.dtype = field(init=False)
    workers: Workers = field(init=False)
    _checkpoints: list[Path] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.device = torch_device(self.settings.device, self.threads)
        self.precision = precision_of(self.settings.precision, self.device)
        self.workers = join(self.device)
        torch.manual_seed(self.seed)

    @cached_property
    def training(self) -> ImagePairs:
        """The training images."""
        return self._images("training")

    @cached_property
    def validation(self) -> ImagePairs:
        """The validation images."""
        return self._images("validation")

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """What every net of this session depends on: the images and the seed."""
        return {"train_h5": sha256(self.training.path), "seed": self.seed}

    def validator(self, scales: Sequence[int]) -> Validator:
        """Return the validation at these scales, on the validation images of train.h5."""
        return validator(self.validation, scales, self.settings.validation_crop, self.device)

    def fit(
        self,
        name: str,
        net: SuperResolutionNet,
        recipe: Recipe,
        made_from: Mapping[str, Any],
        options: Options = Options(),
    ) -> list[Row]:
        """Train ``net`` in place, or go on with a training of the same identity that was stopped; return its curve.

        On LR images of a learned downscaler nothing is flipped or turned: of a flipped photograph the downscaler makes
        another LR image than the flipped one, and the net would unlearn to read what is in it.

        Args:
            name: ``<stage>@<net>``, which names the progress bar and the resume checkpoint.
            net: as :func:`loop.fit` takes it.
            recipe: how to train.
            made_from: what else the weights depend on (weights it starts from, images, model …), JSON-able.
            options: where this training departs from the session.
        """
        if self.other_lr and not self.other_lr.degradation:
            recipe = recipe.model_copy(update={"augment": []})
        scales = options.scales or net.description.scales
        precision = self.precision if options.precision is None else options.precision
        compiled = self.settings.compile if options.compiled is None else options.compiled
        seed = self.seed if options.seed is None else options.seed
        identity = {
            "made_from": made_from,
            "recipe": recipe.model_dump(),
            "scales": [*scales],
            "seed": seed,
            "train": self.settings.model_dump(exclude={"checkpoint_every"}),
            "threads": self.threads,
            "device": self.device.type,
            "precision": str(precision),
            "compiled": compiled,
            "processes": self.workers.size,
        }
        self._checkpoints.append(checkpoint_path(name, identity))
        run = TrainingRun(
            name=name,
            device=self.device,
            precision=precision,
            checkpoint=self._checkpoints[-1],
            checkpoint_every=self.settings.checkpoint_every,
            validate=options.validate or self.validator(scales),
            validate_every=options.validate_every or self.settings.validate_every,
            compiled=compiled,
            lr_factors=options.lr_factors,
            observe=options.observe,
        )
        return fit(net, patches_of(self.training, scales, recipe, seed), recipe, run)

    def _images(self, split: Split) -> ImagePairs:
        other = self.other_lr
        return ImagePairs(TRAIN_H5, split, other.file, other.degradation) if other else ImagePairs(TRAIN_H5, split)

    def close(self) -> None:
        """Remove the resume checkpoints, once the weights are written."""
        for checkpoint in self._checkpoints:
            checkpoint.unlink(missing_ok=True)


def checkpoint_path(name: str, identity: Mapping[str, Any]) -> Path:
    """Return where a training keeps its resume checkpoint; another identity, or other code, is another file."""
    sources = sorted(file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] in CODE)
    content = {**identity, "code": [sha256(source) for source in sources]}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return SCRATCH / "train" / f"{name.replace('/', '-').replace(' ', '-')}-{digest}.safetensors"


def patches_of(images: ImagePairs, scales: Sequence[int], recipe: Recipe, seed: int) -> Patches:
    """Return the batches that a recipe trains on."""
    return Patches(
        images,
        scales,
        patch=recipe.patch,
        patch_of=recipe.patch_of,
        batch=recipe.batch,
        seed=seed,
        sample_by=recipe.sample_by,
        augment=recipe.augment,
    )
