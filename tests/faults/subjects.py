"""What the campaign damages and kills: the stages of the pipeline, and the subcommands of superres."""

from dataclasses import dataclass

from dvc_stages import Stage

# What these write is measured, and differs from run to run.
MEASURING = ("benchmark", "operators", "search", "report")
TIMED = ("/trials.csv",)  # and these files, beside others that are not: the seconds of a trial
TRAINING = ("train", "prune", "quantize", "search", "tune")
PHASES = {"train@ofa_sr": 4}  # the whole net, then depth, width and scale, as systems.yaml has them
# What commands read beside the results, in the folder of the copy, as campaign.prepared puts it there.
PHOTOGRAPHS = "photographs"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Subject:
    """A stage or a subcommand, with its arguments.

    Attributes:
        name: as DVC names the stage; of a subcommand ``superres`` and the first words of its command line.
        module: that ``python -m`` runs.
        arguments: of the command line.
        reads: files and folders that others have written for it.
        writes: files and folders.
        repeats: whether it writes the same bytes each time.
        phases: how many trainings, searches or tunings it goes through.
    """

    name: str
    module: str
    arguments: list[str]
    reads: list[str]
    writes: list[str]
    repeats: bool = True
    phases: int = 0


def of_stage(stage: Stage) -> Subject:
    """Return a stage as a subject."""
    verb, _, item = stage.name.partition("@")
    reads = ["params.yaml", *(path for path in stage.inputs if path.startswith("results/"))]
    writes = [path for path in (*stage.files, *stage.folders) if not path.endswith(TIMED)]
    phases = PHASES.get(stage.name, int(verb in TRAINING))
    module, arguments = f"pipeline_src.stages.{verb}", [item] if item else []
    return Subject(stage.name, module, arguments, reads, writes, repeats=verb not in MEASURING, phases=phases)


def of_superres() -> list[Subject]:
    """Return the subcommands that use the nets of the run, on a folder of photographs."""
    exported, trained = "results/export/abpn_x3", "results/nets/abpn_x3/weights.safetensors"
    quantised = "results/quantize/abpn_x3/nets"
    learned = ["results/train/car_x4/downscaler", "results/nets/car_x4/weights.safetensors"]
    return [
        _superres("upscale", [f"{exported}/qat_x3.tflite", f"{exported}/qat_x3.tflite.json"],
                  "--model", "abpn_x3", "--runtime", "tflite", "--variant", "qat"),
        _superres("upscale", [f"{exported}/fp32_x3.onnx", f"{exported}/fp32_x3.onnx.json"], "--model", "abpn_x3"),
        _superres("upscale", [trained], "--model", "abpn_x3", "--runtime", "torch"),
        _superres("downscale", learned, "--model", "car_x4"),
        _superres("downscale", [], "--model", "bicubic", "--scale", "3"),
        Subject("superres evaluate", "pipeline_src",
                ["evaluate", "--model", "abpn_x3", "--hr", PHOTOGRAPHS, "--csv", "out/out.csv", "--save", "out/sr"],
                [PHOTOGRAPHS, f"{exported}/fp32_x3.onnx", f"{exported}/fp32_x3.onnx.json"], ["out"]),
        Subject("superres export", "pipeline_src",
                ["export", "--model", "abpn_x3", "--format", "tflite", "--variant", "qat", "-o", "out/net.tflite"],
                [trained, quantised], ["out"]),
        *(Subject(f"superres import {suffix}", "pipeline_src",
                  ["import", f"{CHECKPOINTS}/net.{suffix}", "--as", "carn_m", "-o", "out/net.safetensors"],
                  [f"{CHECKPOINTS}/net.{suffix}"], ["out"]) for suffix in ("pth", "safetensors")),
        Subject("superres models", "pipeline_src", ["models"], [exported, "results/benchmark/abpn_x3"], []),
        Subject("superres preset check", "pipeline_src", ["preset", "check"], ["params.yaml"], []),
    ]  # fmt: skip


def _superres(command: str, reads: list[str], *options: str) -> Subject:
    """Return a subcommand that makes an image of each photograph."""
    name = " ".join(["superres", command, *options[1:]])
    return Subject(name, "pipeline_src", [command, PHOTOGRAPHS, "-o", "out/", *options], [PHOTOGRAPHS, *reads], ["out"])
