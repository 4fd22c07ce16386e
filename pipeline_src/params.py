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
DOWNSCALERS = Path(__file__).parent / "downscaling"

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


class Shrink(Section):
    """A phase of the progressive shrinking of a once-for-all net.

    From here on subnets may have these ``choices`` of a ``dimension`` too. Each step trains ``subnets`` of them, every
    one on its part of the batch.
    """

    dimension: Literal["kernel", "depth", "width", "scale"]
    choices: Annotated[list[Count], Field(min_length=1)]
    steps: Count
    lr: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=0)] = 0
    subnets: Count = 1


class Training(Recipe):
    """The recipe of a system, and of a once-for-all net the phases after its largest net.

    ``distil`` weighs the distance to what the largest net makes, beside that to HR.
    """

    shrink: list[Shrink] = []
    distil: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _subnets_share_the_batch(self) -> "Training":
        for number, phase in enumerate(self.shrink):
            if self.batch % phase.subnets:
                raise ValueError(
                    f"shrink[{number}].subnets is {phase.subnets}, which does not divide the batch, {self.batch}"
                )
        return self


class Downscaler(Section):
    """What makes the LR images of a system: a package of ``pipeline_src/downscaling``.

    ``bicubic`` has no numbers. One that learns (``car``) is trained with the net that upscales; ``net`` are the
    arguments of its build, and its learning rate is ``rate`` times that of the recipe. To the loss are added
    ``offset_weight`` times the distance that the taps stray and ``tv_weight`` times the partial total variation of the
    offsets, both means over LR pixels. LR is rounded to 8 bits in training too, with the gradient of the paper's
    ``soft`` rounding, or ``straight`` through. ``jpeg`` are qualities that each LR image is compressed with in
    training, one after the other (100: not at all). ``start`` are weights of the same downscaler to begin with.
    """

    model: str
    net: dict[str, Any] = {}
    rate: Annotated[float, Field(gt=0)] = 1.0
    offset_weight: Annotated[float, Field(ge=0)] = 0.0
    tv_weight: Annotated[float, Field(ge=0)] = 0.0
    rounding: Literal["soft", "straight"] = "soft"
    jpeg: list[Annotated[int, Field(ge=1, le=100)]] = []
    start: Start | None = None

    @property
    def learns(self) -> bool:
        """Whether it is trained, and has weights."""
        return bool(net_arguments(self.model, DOWNSCALERS))

    @model_validator(mode="after")
    def _net_fits_the_downscaler(self) -> "Downscaler":
        known = net_arguments(self.model, DOWNSCALERS)
        _check_net(self.net, known, f"the downscaler {self.model}")
        if not known and self.model_fields_set != {"model"}:
            raise ValueError(f"{self.model} learns nothing, so it takes no other keys; remove them")
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

    ``subnets`` is the stage that makes smaller nets of it: ``prune``, or of a once-for-all net ``search``.
    ``float_layers`` are left out of int8: layers by name (with ``*`` and ``?``, as
    ``results/quantize/<system>/sensitivity.csv`` has them), or how many, of those that cost most by that table.
    """

    model: str
    scales: Annotated[list[Scale], Field(min_length=1)]
    net: dict[str, Any]
    downscaler: Downscaler
    timing_size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    train: Training
    subnets: Literal["prune", "search"]
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
        if self.subnets == "search" and isinstance(self.float_layers, int) and self.float_layers:
            raise ValueError("float_layers must be names, or 0: each subnet that a search finds has layers of its own")
        if self.subnets == "search" and self.prune.nets:
            raise ValueError("prune.nets must go: the smaller nets of this system are those of search")
        if not self.train.steps and self.downscaler.learns and not self.downscaler.start:
            raise ValueError("with train.steps: 0 the downscaler stays untrained; give downscaler.start")
        if self.qat.start:
            raise ValueError("qat.start must go: QAT starts from the net that was quantised after training")
        if len({*self.scales}) < len(self.scales):
            raise ValueError(f"scales is {self.scales}; name each once")
        return self

    @model_validator(mode="after")
    def _net_fits_the_model(self) -> "System":
        known = net_arguments(self.model)
        _check_net(self.net, known, f"the model {self.model}")
        stage = "search" if "subnet" in known and "subnet" not in self.net else "prune"
        if self.subnets != stage:
            kind = "a once-for-all net" if stage == "search" else "a net without subnets"
            raise ValueError(f"subnets must be {stage}: {self.model} is {kind}")
        return self


def _check_net(net: dict[str, Any], known: dict[str, str], whose: str) -> None:
    for key, value in net.items():
        if key not in known:
            raise ValueError(f"net.{key} is unknown; {whose} takes {', '.join(known) or 'no arguments'}")
        if known[key] == "float" and type(value) is int:
            continue
        if known[key] and type(value).__name__ != known[key]:
            raise ValueError(f"net.{key} is {value!r}, but {whose} takes {known[key]}")
        if known[key] == "int" and value < 1:
            raise ValueError(f"net.{key} is {value}, but must be 1 or more")


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


class Budget(Section):
    """What a subnet may cost, the best of which is cut out: one limit or more.

    ``ms``: of the latency table, in ``runtime`` and ``precision``; ``share``: that of the largest subnet times this.
    ``mult_adds`` are of a 1280×720 HR image, ``memory_mb`` the weights and what is alive at once between the layers, of
    the LR size of the latency table.
    """

    scale: Scale
    runtime: Literal["tflite", "openvino"] = "tflite"
    precision: Literal["int8", "float32"] = "int8"
    ms: Annotated[float, Field(gt=0)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    mult_adds: Annotated[float, Field(gt=0)] | None = None
    parameters: Annotated[float, Field(gt=0)] | None = None
    memory_mb: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _a_limit(self) -> "Budget":
        limits = ("ms", "share", "mult_adds", "parameters", "memory_mb")
        if all(getattr(self, limit) is None for limit in limits):
            raise ValueError(f"a budget without a limit; give one of {', '.join(limits)}")
        return self


class Latency(Section):
    """The latency table: of every block of the space, in each runtime and precision, for LR images of ``size``.

    Its sums are compared with ``check`` whole subnets. ``table`` is one measured before, on another device, and how its
    SHA-256 begins.
    """

    size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    runtimes: Annotated[list[Literal["tflite", "openvino"]], Field(min_length=1)]
    precisions: Annotated[list[Literal["int8", "float32"]], Field(min_length=1)]
    threads: Count
    warmup: Count
    runs: Count
    max_seconds: Annotated[float, Field(gt=0)]
    check: Count
    table: Start | None = None


class Search(Section):
    """The search among the subnets of a once-for-all system, judged on ``images`` validation images.

    Of every scale and seed as many random subnets are measured as ``samples`` says, from which a predictor learns; it
    judges ``candidates`` that an evolution tries, and ``front`` of those that promise most are measured. ``nets`` are
    cut out and trained on by ``finetune``.
    """

    scales: Annotated[list[Scale], Field(min_length=1)]
    images: Count
    crop: Annotated[int, Field(ge=16)]
    samples: Count
    candidates: Count
    front: Count
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    latency: Latency
    nets: Annotated[dict[Name, Budget], Field(min_length=1)]
    finetune: Recipe | None = None

    @model_validator(mode="after")
    def _its_parts_fit_together(self) -> "Search":
        for name, budget in self.nets.items():
            if budget.scale not in self.scales:
                raise ValueError(f"nets.{name}.scale is {budget.scale}, but scales is {self.scales}; search that too")
            timed = budget.ms is not None or budget.share is not None
            if timed and budget.runtime not in self.latency.runtimes:
                raise ValueError(f"nets.{name} is of {budget.runtime}, which latency.runtimes does not list; add it")
            if (timed or budget.memory_mb is not None) and budget.precision not in self.latency.precisions:
                raise ValueError(
                    f"nets.{name} is of {budget.precision}, which latency.precisions does not list; add it"
                )
        if self.finetune and self.finetune.start:
            raise ValueError("finetune.start must go: each net starts from its part of the whole")
        return self


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
    search: dict[Name, Search]
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
    def _what_is_searched_is_there(self) -> "Params":
        for name, search in self.search.items():
            system = self.systems.get(name)
            if not system or system.subnets != "search":
                raise ValueError(f"search.{name}: systems has no {name} whose subnets is search; add it or remove this")
            if not {*search.scales} <= {*system.scales}:
                raise ValueError(
                    f"search.{name}.scales is {search.scales}, but systems.{name}.scales is {system.scales}"
                )
        for name, system in self.systems.items():
            if system.subnets == "search" and name not in self.search:
                raise ValueError(f"systems.{name}.subnets is search, but search has no {name}; add it")
        return self

    @model_validator(mode="after")
    def _what_is_tuned_is_there(self) -> "Params":
        for name, spec in self.tune.items():
            if spec.system not in self.systems:
                raise ValueError(f"tune.{name}.system is {spec.system}, which is no system; name one of systems")
            if spec.net and spec.net not in self.systems[spec.system].prune.nets:
                raise ValueError(f"tune.{name}.net is {spec.net}, which is not in systems.{spec.system}.prune.nets")
            if not spec.net and self.systems[spec.system].downscaler.learns:
                raise ValueError(
                    f"tune.{name}.system is {spec.system}, which is trained with its downscaler, and a trial trains "
                    "one net; name one of its pruned nets as net, or another system"
                )
        return self

    def system(self, name: str) -> System:
        """The system ``name``; UserError if ``params.yaml`` has none of that name."""
        if name not in self.systems:
            raise UserError(f"{PARAMS} has no system {name!r}; it has {', '.join(self.systems)}")
        return self.systems[name]

    def nets(self) -> list[str]:
        """All nets: each system, and after it those that it was pruned to, or instead of it its subnets."""
        found = []
        for name, system in self.systems.items():
            of_search = [f"{name}/{net}" for net in sorted(self.search[name].nets)] if name in self.search else []
            found += of_search or system.prune.nets_of(name)
        return found

    def scales_of(self, net: str) -> list[int]:
        """By how much a net of :meth:`nets` upscales; UserError of a once-for-all net, which is none itself."""
        name, _, subnet = net.partition("/")
        system = self.system(name)
        if system.subnets == "prune":
            return system.scales
        nets = self.search[name].nets
        if subnet not in nets:
            raise UserError(f"{net} is none of the subnets of {name}; name {', '.join(f'{name}/{n}' for n in nets)}")
        return [nets[subnet].scale]

    def sets_for(self, role: Role) -> list[str]:
        """Names of the image sets of one role, in the order of the file."""
        return [name for name, image_set in self.sets.items() if image_set.role == role]


def net_arguments(model: str, folder: Path = MODELS) -> dict[str, str]:
    """Argument names of ``build`` of a model in ``folder`` and their annotated types, without torch.

    Read from the source, because importing torch to check a settings file would cost every command a second. A
    downscaler without ``build`` takes none.
    """
    source = folder / f"{model}.py" if folder == MODELS else folder / model / "__init__.py"
    if not source.is_file():
        there = sorted(p.stem for p in folder.glob("[a-z]*.py" if folder == MODELS else "[a-z]*/"))
        raise ValueError(f"there is no model {model!r} in pipeline_src/{folder.name}; there are {', '.join(there)}")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg != "scales"]
            return {a.arg: ast.unparse(a.annotation) if isinstance(a.annotation, ast.Name) else "" for a in arguments}
    if folder == MODELS:
        raise ValueError(f"pipeline_src/models/{model}.py has no function build, so it is not a model")
    return {}


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


def weights(net: str, variant: str = "fp32", made_by: str = "prune") -> Path:
    """Where the weights of a net lie: of a system, or of ``<system>/<name>``, which a stage made of it."""
    system, _, name = net.partition("/")
    if variant != "fp32":
        return results("quantize", system) / "nets" / name / f"{variant}.safetensors"
    if name:
        return results(made_by, system) / "nets" / f"{name}.safetensors"
    return results("train", system) / "weights.safetensors"


def nets_of(system: str, subnets: str, prune: Prune) -> list[str]:
    """How the nets of a system are called that are quantised, exported and measured.

    The system itself and what it is pruned to; of a once-for-all net, whose ``subnets`` are those of the stage search,
    what that has cut out.
    """
    if subnets == "prune":
        return prune.nets_of(system)
    folder = results("search", system) / "nets"
    if not (files := sorted(folder.glob("*.safetensors"))):
        raise UserError(f"{folder} holds no net; run the stage search first")
    return [f"{system}/{file.stem}" for file in files]


def downscaler(system: str) -> Path:
    """The folder of what a system's downscaler learnt: ``weights.safetensors`` and ``lr.h5``, the LR images it makes of
    those in ``train.h5``. Empty where it learns nothing."""
    return results("train", system) / "downscaler"


def learned_lr(system: str, spec: Downscaler) -> Path | None:
    """The LR images that a system's downscaler made of ``train.h5``; None where it learns nothing."""
    return downscaler(system) / "lr.h5" if spec.learns else None


def images_folder(role: Role, name: str) -> Path:
    """Where ``fetch@<name>`` puts its images and ``manifest.csv``."""
    return results("fetch", role) / name


TRAIN_H5 = results("build_h5") / "train.h5"


if __name__ == "__main__":
    from pipeline_src.command import exit_status

    # without an argument params.yaml is checked, with a preset it is changed
    sys.exit(exit_status(merge, Path(sys.argv[1])) if sys.argv[1:] else exit_status(load))
