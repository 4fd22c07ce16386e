"""Section ``devices``: machines other than this one that the exported files are measured on."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline_src.config.base import Name, Section, Threads

HERE = "here"  # this machine, which the stage benchmark measures
CPU, GPU, NNAPI = "cpu", "gpu", "nnapi"  # delegates that benchmark_model has itself
# What stands for itself on a command line, of ssh or adb, and cannot be one of its options.
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]*$", max_length=255)]


class Delegate(Section):
    """What runs a TFLite file on a phone: its CPU or GPU (``{}``), or a shared library of the vendor's."""

    library: str | None = Field(
        default=None, description="Shared library of an external delegate, a file here; `cpu` and `gpu` have none."
    )
    options: str = Field(
        default="", pattern=r"^[A-Za-z0-9_.:;,/=-]*$", description="Its options, such as `backend_type:htp`."
    )
    files: list[str] = Field(default=[], description="Files here that the library needs beside it.")


class Device(Section):
    """A board that SSH reaches, or an Android phone that adb reaches."""

    ssh: Address | None = Field(
        default=None, description="Board: what `ssh` is given to reach it, `user@host` or a name of ~/.ssh/config."
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Port of its SSH server.")
    config: str | None = Field(
        default=None, description="File in place of ~/.ssh/config, with keys, known hosts and jumps."
    )
    python: str = Field(
        default="python3",
        pattern=r"^[A-Za-z0-9_.~/+-]+$",
        description="Its Python, 3.10 or later, with NumPy and the runtimes to measure.",
    )
    adb: Address | None = Field(default=None, description="Phone: its serial number, as `adb devices` shows it.")
    benchmark_model: str | None = Field(
        default=None, description="TFLite's benchmark program for the phone, a file here."
    )
    delegates: dict[Name, Delegate] = Field(
        default={CPU: Delegate()}, min_length=1, description="What runs the files on the phone, by name."
    )
    threads: Threads | None = Field(
        default=None, description="Threads of a runtime there; without it, `benchmark.threads`."
    )

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        return self.ssh is None and self.adb is None

    @model_validator(mode="after")
    def _check_keys(self) -> "Device":
        given = self.model_fields_set
        if self.is_here and given:
            raise ValueError("a device has ssh or adb; add one")
        if self.ssh and (wrong := given & {"adb", "benchmark_model", "delegates"}):
            raise ValueError(f"a device with ssh has no {min(wrong)}; remove it")
        if self.adb and (wrong := given & {"port", "config", "python"}):
            raise ValueError(f"a device with adb has no {min(wrong)}; remove it")
        if self.adb and self.benchmark_model is None:
            raise ValueError("a device with adb needs benchmark_model; docs/deployment.md says where it is")
        return self

    @model_validator(mode="after")
    def _check_delegates(self) -> "Device":
        for name, delegate in self.delegates.items():
            if name == NNAPI:
                raise ValueError(
                    "delegates.nnapi must go: NNAPI is deprecated since Android 15, and says nothing of the NPU there; "
                    "name the library of the vendor's delegate"
                )
            if (delegate.library is None) != (name in (CPU, GPU)):
                raise ValueError(f"delegates.{name} {'has no library' if delegate.library else 'needs its library'}")
        return self
