"""Sections ``benchmark`` and ``operators``: measurements of exported files, and of single operators."""

from pydantic import Field

from pipeline_src.config.base import Count, Interval, Runs, Section, Size, Threads


class Benchmark(Section):
    """How the exported files of each system are timed, and which images the report shows."""

    threads: Threads = Field(description="Threads of a runtime; nothing else runs beside a measurement of time.")
    sweep: list[Threads] = Field(
        default=[], description="Other thread counts to time the files at too, to `threads.csv`."
    )
    warmup: Count = Field(description="Runs before the measurement.")
    runs: Runs = 30
    interval: Interval = 0.03
    min_seconds: float = Field(ge=0, description="Seconds to measure a file at least, if the runs end sooner.")
    max_seconds: float = Field(
        gt=0, description="Seconds to measure a file at most, whether or not its figures have settled by then."
    )
    crops: int = Field(ge=0, description="Images of each evaluation set that are cropped for the report.")
    crop_size: int = Field(ge=16, description="LR pixels along each side of such a crop.")


class Operators(Section):
    """How single operators are timed on this machine."""

    size: Size = Field(description="Height and width of the images, in pixels.")
    channels: int = Field(ge=4, multiple_of=4, description="Channels of the images.")
    threads: Threads = Field(description="Threads of a runtime.")
    warmup: Count = Field(description="Runs before the measurement.")
    runs: Runs = 30
    interval: Interval = 0.03
    max_seconds: float = Field(
        gt=0, description="Seconds to measure an operator at most, whether or not its figure has settled by then."
    )
