"""Types and base class that the sections of ``params.yaml`` share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline_src.paths import DOWNSCALER

# DVC splits a key at its dots and a command at its spaces; what begins with a dash would be an option.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]


def _not_reserved(name: str) -> str:
    if name == DOWNSCALER:
        raise ValueError(f"{DOWNSCALER} is the name of what makes the LR images of a system; choose another name")
    return name


NetName = Annotated[Name, AfterValidator(_not_reserved)]  # of a smaller net of a system
Count = Annotated[int, Field(ge=1, le=10**9)]
Threads = Annotated[int, Field(ge=1, le=1024)]
SCALES = (2, 3, 4)
Scale = Annotated[int, Field(ge=SCALES[0], le=SCALES[-1])]
Runs = Annotated[int, Field(ge=1, description="Timed calls at least; a figure of fewer than 30 is never compared.")]
Interval = Annotated[
    float,
    Field(
        gt=0,
        description="Timing goes on until the 95 % confidence interval of the median ends within this share of it.",
    ),
]
Size = Annotated[list[Count], Field(min_length=2, max_length=2)]  # height and width
Role = Literal["training", "evaluation"]
ROLES: tuple[Role, ...] = ("training", "evaluation")


class Section(BaseModel):
    """A part of ``params.yaml``: an unknown or ill-typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PinnedFile(Section):
    """A file named together with its content, so that other content under the same name is never used unnoticed."""

    file: str = Field(description="Path of the file, relative to the root of the repository.")
    sha256: str = Field(
        pattern="^[0-9a-f]{8,64}$", description="The first 8 or more hexadecimal digits of the file's SHA-256."
    )
