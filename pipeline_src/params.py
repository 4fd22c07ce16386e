"""The numbers of the pipeline (``params.yaml``), typed, and the places of its files.

Every stage reads the sections that ``dvc.yaml`` declares for it and nothing else; a test holds it to that.
"""

import ast
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_src.errors import UserError

PARAMS = Path("params.yaml")
RESULTS = Path("results")
SCRATCH = Path(".cache")  # resume checkpoints: outside the outs, because both launchers delete those before a run
MODELS = Path(__file__).parent / "models"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # DVC splits a key at its dots, a command at its spaces
Count = Annotated[int, Field(ge=1)]
Scale = Annotated[int, Field(ge=2, le=4)]
Role = Literal["training", "evaluation"]
ROLES: tuple[Role, ...] = ("training", "evaluation")


class Section(BaseModel):
    """A part of ``params.yaml``: an unknown or ill-typed key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImageSet(Section):
    """One image set: from the catalogue by its name, or from ``folder``, the user's own photographs."""

    role: Role
    folder: str | None = None


class BuildH5(Section):
    scales: Annotated[list[Scale], Field(min_length=1)]
    convention: Literal["A", "B"]
    validation_every: Annotated[int, Field(ge=2)]
    shrink: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


class Train(Section):
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    checkpoint_every: Count
    validate_every: Count
    validation_crop: Annotated[int, Field(ge=16)]


class Quantize(Section):
    calibration_images: Count
    calibration_crop: Annotated[int, Field(ge=16)]
    sensitivity_images: Annotated[int, Field(ge=0)]


class Benchmark(Section):
    """``sweep``: numbers of threads at which the files of each system are timed besides, to ``threads.csv``."""

    threads: Count
    sweep: list[Count]
    warmup: Count
    runs: Count
    min_seconds: Annotated[float, Field(ge=0)]
    max_seconds: Annotated[float, Field(gt=0)]
    crops: Annotated[int, Field(ge=0)]
    crop_size: Annotated[int, Field(ge=16)]


class Nodes(Section):
    """The operators that are measured each by itself, on ``channels`` channels of images of ``size``, in pixels."""

    size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    channels: Annotated[int, Field(ge=4, multiple_of=4)]
    threads: Count
    warmup: Count
    runs: Count
    max_seconds: Annotated[float, Field(gt=0)]


class Report(Section):
    title: str
    crops: Annotated[int, Field(ge=0)]


class Start(Section):
    """Weights (safetensors) to begin with, and how their SHA-256 begins: another content is a change of the params."""

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")]


class Recipe(Section):
    """How a net is trained.

    ``patch`` is in LR pixels, or with ``patch_of: hr`` in HR pixels, whatever the scale. Every image is equally likely,
    or with ``draw: set`` every image set, and then every image in it. The rate ``lr`` rises linearly over ``warmup``
    steps and is multiplied by ``decay`` every ``decay_every`` steps, or follows half a cosine to 0 (``decay: cosine``).
    Losses are of images in 0..1. ``momentum`` is SGD's, or Adam's β₁. ``clip`` limits the global norm of the gradients,
    or each of their elements to ±clip/rate (``clip_by: element``). Each batch is computed in ``accumulate`` parts.
    ``ema`` is the share that the running average of the weights keeps per step (0: no average).
    ``start`` are weights of the same net to begin with; with 0 ``steps`` they are taken as they are.
    """

    steps: Annotated[int, Field(ge=0)]
    batch: Count
    patch: Annotated[int, Field(ge=8)]
    patch_of: Literal["lr", "hr"] = "lr"
    draw: Literal["image", "set"] = "image"
    augment: list[Literal["hflip", "vflip", "transpose"]]
    loss: Literal["l1", "smooth_l1", "mse", "sse"]
    optimiser: Literal["adam", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=0)]
    decay: Annotated[float, Field(gt=0, le=1)] | Literal["cosine"]
    decay_every: Count | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    clip_by: Literal["norm", "element"] = "norm"
    accumulate: Count = 1
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    start: Start | None = None

    @model_validator(mode="after")
    def _its_parts_fit_together(self) -> "Recipe":
        if (self.decay == "cosine") == (self.decay_every is not None):
            raise ValueError("decay_every goes with a decay that is a number, and only with that")
        if not self.steps and not self.start:
            raise ValueError("steps is 0, so there must be a start: weights to take as they are")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate is {self.accumulate}, which does not divide the batch, {self.batch}")
        if self.clip_by == "element" and self.clip is None:
            raise ValueError("clip_by is element, so there must be a clip")
        if self.patch_of == "hr" and self.patch < 32:
            raise ValueError(f"patch is {self.patch} HR pixels, but must be 32 or more, which are 8 LR pixels at ×4")
        return self


class Pruning(Section):
    """One way to make a net smaller: which of its filters (l1, l2, fpgm), or of its weights (level), are left out.

    The share ``sparsity`` of each layer, or with ``scope: global`` of all layers together. ``layers`` and ``exclude``
    are names of convolutions, as ``results/prune/<system>/layers.csv`` has them, with ``*`` and ``?``. ``mode`` says
    what of filters that hang together is looked at: all of it at once, or each convolution by itself (``normal``).
    The pruner judges the ``weights`` themselves, as NNI does, or by default what they contribute to the image.
    Training goes on from the ``surviving`` weights, or anew from ``random`` ones.
    """

    pruner: Literal["l1", "l2", "fpgm", "level"]
    sparsity: Annotated[float, Field(gt=0, lt=1)]
    scope: Literal["layer", "global"] = "layer"
    mode: Literal["dependency_aware", "normal"] = "dependency_aware"
    layers: Annotated[list[str], Field(min_length=1)] = ["*"]
    exclude: list[str] = []
    judge: Literal["contributions", "weights"] = "contributions"
    weights: Literal["surviving", "random"] = "surviving"


class Prune(Section):
    """The smaller nets of a system, by name; ``finetune`` trains each on."""

    nets: dict[Name, Pruning] = {}
    finetune: Recipe | None = None

    @model_validator(mode="after")
    def _its_parts_fit_together(self) -> "Prune":
        if self.nets and not self.finetune:
            raise ValueError("nets go with finetune, a recipe that trains them on")
        if self.finetune and self.finetune.start:
            raise ValueError("finetune.start must go: each net starts from what is left of the one that was pruned")
        return self

    def of_weights(self, net: str) -> bool:
        """Whether of ``<system>/<name>`` single weights are pruned, so that zeros are to stay zeros."""
        cut = self.nets.get(net.partition("/")[2])
        return cut is not None and cut.pruner == "level"

    def nets_of(self, system: str) -> list[str]:
        """A system itself, and as ``<system>/<name>`` what it is pruned to: how nets are called, and their folders."""
        return [system, *(f"{system}/{name}" for name in self.nets)]

    def jobs(self, system: str) -> list[tuple[str, Pruning, Recipe]]:
        """Of each smaller net its name, what is left out, and how the rest is trained on."""
        return [(f"{system}/{name}", net, self.finetune) for name, net in self.nets.items() if self.finetune]


class System(Section):
    """One super-resolution system: a net of ``pipeline_src/models``, its arguments, and its training.

    ``float_layers`` are left out of int8: layers by name (with ``*`` and ``?``, as
    ``results/quantize/<system>/sensitivity.csv`` has them), or how many, of those that cost most by that table.
    """

    model: str
    scales: Annotated[list[Scale], Field(min_length=1)]
    net: dict[str, Any]
    timing_size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    train: Recipe
    prune: Prune
    float_layers: int | list[str]
    qat: Recipe

    @field_validator("float_layers", mode="before")
    @classmethod
    def _a_number_or_names(cls, value: Any) -> Any:
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not names and (type(value) is not int or value < 0):
            raise ValueError("give a number of layers, or a list of their names")
        return value

    @model_validator(mode="after")
    def _its_parts_fit_together(self) -> "System":
        if self.qat.ema:
            raise ValueError("qat.ema must be 0: the int8 ranges of the weights are not those of their running average")
        if self.qat.start:
            raise ValueError("qat.start must go: QAT starts from the net that was quantised after training")
        if len({*self.scales}) < len(self.scales):
            raise ValueError(f"scales is {self.scales}; name each once")
        return self

    @model_validator(mode="after")
    def _net_fits_the_model(self) -> "System":
        known = net_arguments(self.model)
        for key, value in self.net.items():
            if key not in known:
                raise ValueError(f"net.{key} is unknown; the model {self.model} takes {', '.join(known)}")
            if known[key] == "float" and type(value) is int:
                continue
            if known[key] and type(value).__name__ != known[key]:
                raise ValueError(f"net.{key} is {value!r}, but the model {self.model} takes {known[key]}")
            if known[key] == "int" and value < 1:
                raise ValueError(f"net.{key} is {value}, but must be 1 or more")
        return self


class Range(Section):
    """What a number may be: one of ``choice``, or between the two of ``uniform`` or ``loguniform``."""

    choice: Annotated[list[int | float], Field(min_length=1)] | None = None
    uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    loguniform: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Range":
        if len(self.model_fields_set) != 1:
            raise ValueError("name one of choice, uniform and loguniform")
        ends = self.uniform or self.loguniform
        if ends and ends[0] >= ends[1]:
            raise ValueError(f"the range is {ends}; the first must be the smaller")
        return self

    def as_nni(self) -> dict[str, Any]:
        """As NNI's tuners have it in their search space."""
        ((kind, values),) = self.model_dump(exclude_unset=True).items()
        return {"_type": kind, "_value": values}


Tuned = Literal["lr", "weight_decay", "momentum", "batch", "clip", "warmup", "decay_every", "ema", "patch"]


class Tune(Section):
    """A search for the numbers of a recipe: the training of a system, or with ``net`` that of the net pruned to it."""

    system: str
    net: str | None = None
    trials: Count
    steps: Count  # of each trial
    space: Annotated[dict[Tuned, Range], Field(min_length=1)]


class Params(Section):
    seed: Annotated[int, Field(ge=0)]
    threads: Count
    sets: dict[Name, ImageSet]
    build_h5: BuildH5
    train: Train
    quantize: Quantize
    benchmark: Benchmark
    nodes: Nodes
    report: Report
    systems: Annotated[dict[Name, System], Field(min_length=1)]
    tune: dict[Name, Tune]

    @model_validator(mode="after")
    def _a_set_for_each_role(self) -> "Params":
        for role in ROLES:
            if not self.sets_for(role):
                raise ValueError(f"sets holds none of the role {role}; add one")
        return self

    @model_validator(mode="after")
    def _the_worst_layers_can_be_told(self) -> "Params":
        for name, system in self.systems.items():
            if isinstance(system.float_layers, int) and system.float_layers and not self.quantize.sensitivity_images:
                raise ValueError(
                    f"systems.{name}.float_layers is {system.float_layers}, but quantize.sensitivity_images is 0, so "
                    "that nothing tells which layers are the worst; set that to 1 or more"
                )
        return self

    @model_validator(mode="after")
    def _what_is_tuned_is_there(self) -> "Params":
        for name, spec in self.tune.items():
            if spec.system not in self.systems:
                raise ValueError(f"tune.{name}.system is {spec.system}, which is no system; name one of systems")
            if spec.net and spec.net not in self.systems[spec.system].prune.nets:
                raise ValueError(f"tune.{name}.net is {spec.net}, which is not in systems.{spec.system}.prune.nets")
        return self

    def system(self, name: str) -> System:
        """The system ``name``; UserError if ``params.yaml`` has none of that name."""
        if name not in self.systems:
            raise UserError(f"{PARAMS} has no system {name!r}; it has {', '.join(self.systems)}")
        return self.systems[name]

    def nets(self) -> list[str]:
        """All nets: each system, and after it those that it was pruned to."""
        return [net for name, system in self.systems.items() for net in system.prune.nets_of(name)]

    def sets_for(self, role: Role) -> list[str]:
        """Names of the image sets of one role, in the order of the file."""
        return [name for name, image_set in self.sets.items() if image_set.role == role]


def net_arguments(model: str) -> dict[str, str]:
    """Argument names of ``build`` in ``pipeline_src/models/<model>.py`` and their annotated types, without torch.

    Read from the source, because importing torch to check a settings file would cost every command a second.
    """
    source = MODELS / f"{model}.py"
    if not source.is_file():
        there = sorted(p.stem for p in MODELS.glob("[a-z]*.py"))
        raise ValueError(f"there is no model {model!r} in pipeline_src/models; there are {', '.join(there)}")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg != "scales"]
            return {a.arg: ast.unparse(a.annotation) if isinstance(a.annotation, ast.Name) else "" for a in arguments}
    raise ValueError(f"pipeline_src/models/{model}.py has no function build, so it is not a model")


def load(path: Path = PARAMS) -> Params:
    """Read and validate ``params.yaml``; UserError names the first wrong key."""
    try:
        return Params.model_validate(YAML(typ="safe").load(path.read_text()))
    except FileNotFoundError:
        raise UserError(f"{path} is not in {Path.cwd()}; run the command from the root of the repository") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    if problem["type"] == "extra_forbidden":
        return f"{key} is an unknown key; correct its spelling or remove it"
    if problem["type"] == "missing":
        return f"{key} is missing; add it"
    return (
        f"{key}: {problem['msg'].removeprefix('Value error, ')}, not {problem['input']!r}"
        if not isinstance(problem["input"], dict)
        else f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    )


def recipe(values: dict[str, Any], where: str) -> Recipe:
    """A recipe of these values; UserError, which names ``where`` they come from, if it is none."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{PARAMS}: {where}: {_first_problem(error)}") from None


def merge(preset: Path, path: Path = PARAMS) -> None:
    """Merge a preset into ``params.yaml``, key by key, keeping the comments; the result is validated before it is kept.

    A preset may hold any part of the file. Lists and plain values replace what was there; under ``sets`` and
    ``systems`` new entries are added; a key whose value is ``~`` is removed.
    """
    from pipeline_src.files import whole_file

    def into(old: Any, new: Any) -> None:
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(old.get(key), dict):
                into(old[key], value)
                if not old[key]:
                    del old[key]  # with the comments in it, which have no place in {}
                    old[key] = {}
            elif value is None:
                old.pop(key, None)
            else:
                old[key] = value

    editor = YAML()
    editor.width = 120
    try:
        merged, changes = editor.load(path.read_text()), editor.load(preset.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} does not exist; name a file of workflow/presets") from None
    except YAMLError as error:
        raise UserError(f"{preset} or {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(changes, dict):
        raise UserError(f"{preset} holds no settings; give it sections as {path} has them")
    into(merged, changes)
    with whole_file(path) as aside:
        with aside.open("w") as file:
            editor.dump(merged, file)
        try:
            load(aside)
        except UserError as error:
            raise UserError(str(error).replace(str(aside), f"{path} with {preset}")) from None


def results(stage: str, item: str = "") -> Path:
    """The folder a stage writes to: ``results/<stage>`` or ``results/<stage>/<item>``."""
    return RESULTS / stage / item


def weights(net: str, variant: str = "fp32") -> Path:
    """Where the weights of a net lie: of a system, or of ``<system>/<name>``, which is pruned."""
    system, _, name = net.partition("/")
    if variant != "fp32":
        return results("quantize", system) / "nets" / name / f"{variant}.safetensors"
    if name:
        return results("prune", system) / "nets" / f"{name}.safetensors"
    return results("train", system) / "weights.safetensors"


def images_folder(role: Role, name: str) -> Path:
    """Where ``fetch@<name>`` puts its images and ``manifest.csv``."""
    return results("fetch", role) / name


TRAIN_H5 = results("build_h5") / "train.h5"


if __name__ == "__main__":
    from pipeline_src.command import exit_status

    # without an argument params.yaml is checked, with a preset it is changed
    sys.exit(exit_status(merge, Path(sys.argv[1])) if sys.argv[1:] else exit_status(load))
