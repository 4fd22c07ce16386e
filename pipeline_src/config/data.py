"""Sections ``sets`` and ``build_h5``: which images there are, and how they become ``train.h5``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline_src.config.base import Name, Role, Scale, Section
from pipeline_src.config.degradation import Degradation

ResizeFactor = Annotated[float, Field(gt=0, le=1)]


class ImageSet(Section):
    """An image set: one of the catalogue, by its name, or the user's own photographs."""

    role: Role = Field(
        description="Whether the images train and validate the nets, or measure them. No image may do both."
    )
    folder: str | None = Field(
        default=None,
        description="Folder of your own photographs; without it, the set of this name in the catalogue is fetched.",
    )
    lr_folder: str | None = Field(
        default=None,
        description="Folder of your own LR images of the photographs in `folder`, in place of those that bicubic would "
        "make: in subfolders `X2`, `X3` and `X4`, or of a single scale.",
    )
    images_of: Name | None = Field(
        default=None, description="Set of the catalogue whose images these are, if this set has another name."
    )
    degraded: Degradation | None = Field(
        default=None,
        description="Faults of photographs, by which LR images are made once, of every scale, in place of bicubic's; "
        "`{}` takes those of photographs on the web.",
    )
    resize_factors: list[ResizeFactor] | None = Field(
        default=None,
        min_length=1,
        description="`build_h5.resize_factors` of this training set; `[0.5]` shrinks the blocks of JPEG files away.",
    )

    @property
    def has_own_lr(self) -> bool:
        """Whether bicubic makes none of its LR images."""
        return self.lr_folder is not None or self.degraded is not None

    @model_validator(mode="after")
    def _check_pairs(self) -> "ImageSet":
        if self.lr_folder is not None and self.folder is None:
            raise ValueError("lr_folder needs a folder with the HR images; add `folder:`")
        if self.degraded and self.lr_folder is not None:
            raise ValueError("LR images are either degraded or of lr_folder; remove one of the two keys")
        if self.images_of and self.folder is not None:
            raise ValueError("images are either of folder or of a set of the catalogue; remove folder or images_of")
        if self.resize_factors and (self.role != "training" or self.has_own_lr):
            raise ValueError("resize_factors is for a training set whose LR images bicubic makes; remove it")
        return self


class BuildH5(Section):
    """How the training images and their LR versions are stored in ``train.h5``."""

    scales: list[Scale] = Field(min_length=1, description="Scales for which LR images are stored.")
    matlab: Literal["uint8", "double"] = Field(
        default="uint8",
        description="Whose rounding bicubic follows: MATLAB's imresize on uint8 images, or on im2double of them.",
    )
    validation_every: int = Field(ge=2, description="Every n-th training image validates instead.")
    resize_factors: list[ResizeFactor] = Field(
        default=[1.0],
        min_length=1,
        description="Each training image is stored once at each of these sizes: smaller copies are sharper, and more.",
    )
