"""The whole of ``params.yaml``."""

from pydantic import Field, model_validator

from pipeline_src.config.base import ROLES, Name, Role, Section, Threads
from pipeline_src.config.benchmark import Benchmark, Operators
from pipeline_src.config.data import BuildH5, ImageSet
from pipeline_src.config.devices import HERE, Device
from pipeline_src.config.pruning import Prune
from pipeline_src.config.quantization import Quantize
from pipeline_src.config.report import Report
from pipeline_src.config.search import Search
from pipeline_src.config.system import System
from pipeline_src.config.training import Train
from pipeline_src.config.tune import Tune
from pipeline_src.errors import UserError
from pipeline_src.paths import FOLDER_OF_DEVICES, PARAMS


class Params(Section):
    """Every number of the pipeline: a section per stage, an entry per image set and per system.

    The sections ``devices``, ``prune``, ``search`` and ``tune`` may be empty but not missing, because ``dvc.yaml``
    repeats a stage over each, and DVC fails where a key is missing.
    """

    seed: int = Field(ge=0, lt=2**32, description="Seed of every random choice.")
    threads: Threads = Field(
        description="Threads of every library in a stage, so that sums round alike on every machine."
    )
    sets: dict[Name, ImageSet] = Field(description="Image sets by name; one or more of each role.")
    build_h5: BuildH5 = Field(description="The training file.")
    train: Train = Field(description="How trainings run.")
    quantize: Quantize = Field(description="Calibration and sensitivity.")
    benchmark: Benchmark = Field(description="Measurements of exported files.")
    operators: Operators = Field(description="Measurements of single operators.")
    devices: dict[Name, Device] = Field(
        description="Devices that the exported files are measured on, by name; `here` is this machine."
    )
    report: Report = Field(description="The report.")
    systems: dict[Name, System] = Field(min_length=1, description="Super-resolution systems by name.")
    prune: dict[Name, Prune] = Field(description="Pruned nets, by the system they are made of.")
    search: dict[Name, Search] = Field(description="Searches, by the once-for-all system whose subnets they find.")
    tune: dict[Name, Tune] = Field(description="Searches for better numbers of a recipe, by name.")

    @model_validator(mode="after")
    def _check_roles(self) -> "Params":
        for role in ROLES:
            if not self.sets_for(role):
                raise ValueError(f"sets holds none of the role {role}; add one")
        return self

    @model_validator(mode="after")
    def _check_float_layers(self) -> "Params":
        for name, system in self.systems.items():
            wanted = system.qat.float_layers
            if not isinstance(wanted, int) or not wanted:
                continue
            if not self.quantize.sensitivity_images:
                raise ValueError(
                    f"systems.{name}.qat.float_layers is {wanted}, but quantize.sensitivity_images is 0, so "
                    "that no table ranks the layers; set that to 1 or more"
                )
            if not system.qat.sensitivity:
                raise ValueError(
                    f"systems.{name}.qat.float_layers is {wanted}, but its sensitivity is false, so that no table "
                    "ranks the layers; make that true"
                )
        return self

    @model_validator(mode="after")
    def _check_smaller_nets(self) -> "Params":
        for name in self.prune:
            if name not in self.systems:
                raise ValueError(f"prune.{name}: systems has no {name}; add it or remove this")
            if self.systems[name].once_for_all:
                raise ValueError(f"prune.{name} must go: {name} is a once-for-all net, which search makes smaller")
        for name, search in self.search.items():
            system = self.systems.get(name)
            if not system or not system.once_for_all:
                raise ValueError(f"search.{name}: systems has no once-for-all net {name}; add it or remove this")
            if not {*search.scales} <= {*system.scales}:
                raise ValueError(
                    f"search.{name}.scales is {search.scales}, but systems.{name}.scales is {system.scales}"
                )
        for name, system in self.systems.items():
            if system.once_for_all and name not in self.search:
                raise ValueError(f"systems.{name} is a once-for-all net, but search has no {name}; add it")
        return self

    @model_validator(mode="after")
    def _check_devices(self) -> "Params":
        if FOLDER_OF_DEVICES in self.systems:
            raise ValueError(f"systems.{FOLDER_OF_DEVICES}: results/benchmark has a folder of this name; rename it")
        for name, device in self.devices.items():
            if device.is_here != (name == HERE):
                problem = "is this machine and has no keys" if name == HERE else "has neither ssh nor adb; add one"
                raise ValueError(f"devices.{name} {problem}")
        for name, search in self.search.items():
            wanted = search.latency.device
            if wanted != HERE and (wanted not in self.devices or self.devices[wanted].ssh is None):
                raise ValueError(
                    f"search.{name}.latency.device is {wanted}, which is no device with ssh; name one of devices"
                )
        return self

    @model_validator(mode="after")
    def _check_baselines(self) -> "Params":
        for name, system in self.systems.items():
            if system.baseline is None:
                continue
            baseline = self.systems.get(system.baseline)
            if baseline is None:
                raise ValueError(
                    f"systems.{name}.baseline is {system.baseline}, which is not a system; name one of systems"
                )
            if baseline.downscaler.learns or baseline.downscaler.degrades:
                raise ValueError(f"systems.{name}.baseline is {system.baseline}, whose LR images are not bicubic's")
            ours, its = system.compared_by(), baseline.compared_by()
            if unlike := [key for key in ours if ours[key] != its[key]]:
                raise ValueError(
                    f"systems.{name}.{unlike[0]} differs from that of its baseline {system.baseline}, so the "
                    "comparison would not be fair; make them equal"
                )
        return self

    @model_validator(mode="after")
    def _check_tuning(self) -> "Params":
        for name, spec in self.tune.items():
            if spec.system not in self.systems:
                raise ValueError(f"tune.{name}.system is {spec.system}, which is not a system; name one of systems")
            pruned = self.prune[spec.system].nets if spec.system in self.prune else {}
            if spec.net and spec.net not in pruned:
                raise ValueError(f"tune.{name}.net is {spec.net}, which is not in prune.{spec.system}.nets")
            if not spec.net and self.systems[spec.system].downscaler.learns:
                raise ValueError(
                    f"tune.{name}.system is {spec.system}, which is trained with its downscaler, and a trial trains "
                    "one net; name one of its pruned nets as net, or another system"
                )
        return self

    def device(self, name: str) -> Device:
        """Return the device ``name``; UserError if ``params.yaml`` has none of that name."""
        if name not in self.devices:
            raise UserError(f"{PARAMS}: devices has no {name!r}; it has {', '.join(self.devices) or 'nothing'}")
        return self.devices[name]

    def system(self, name: str) -> System:
        """Return the system ``name``; UserError if ``params.yaml`` has none of that name."""
        if name not in self.systems:
            raise UserError(f"{PARAMS} has no system {name!r}; it has {', '.join(self.systems)}")
        return self.systems[name]

    def nets_of(self, system: str) -> list[str]:
        """Return the nets of a system, as ``paths.nets`` names them: itself and its pruned nets, or its subnets."""
        if system in self.search:
            return [f"{system}/{net}" for net in sorted(self.search[system].nets)]
        pruned = list(self.prune[system].nets) if system in self.prune else []
        return [system, *(f"{system}/{net}" for net in pruned)]

    def nets(self) -> list[str]:
        """Return the nets of all systems."""
        return [net for system in self.systems for net in self.nets_of(system)]

    def scales_of(self, net: str) -> list[int]:
        """Return the scales of a net of :meth:`nets`; UserError if there is no such net."""
        system, _, name = net.partition("/")
        scales = self.system(system).scales
        if net not in (known := self.nets_of(system)):
            raise UserError(f"{net} is not a net of {system}; name {', '.join(known)}")
        return [self.search[system].nets[name].scale] if system in self.search else scales

    def sets_for(self, role: Role) -> list[str]:
        """Return the names of the image sets of one role, in the order of the file."""
        return [name for name, image_set in self.sets.items() if image_set.role == role]
