"""Find whether quantisation-aware training of a downscaler gains anything over its PTQ: PSNR Y on validation images.

    python benchmarks/downscaler_qat.py conv_x4 conv_x2

In the folder of a run in which the stage quantize has ended for these systems; without names, for all of them. The
downscaler is trained with the fake quantisation of its int8 net, through LR images that are rounded to 8 bits and the
float net that upscales them, whose weights stay. Nothing is written.
"""

import argparse

STEPS = 200
RATES = (1e-5, 1e-4)


def measure(system: str) -> None:
    """Print the PSNR of PTQ and of QAT with each learning rate."""
    import torch
    from torch import nn

    from pipeline_src import config, paths
    from pipeline_src.compression import quantization
    from pipeline_src.config.training import Recipe
    from pipeline_src.downscaling.conv.network import Sampling
    from pipeline_src.graph.folding import fold
    from pipeline_src.metrics.validation import BehindDownscaler
    from pipeline_src.training.joint import Joint
    from pipeline_src.training.session import Options, TrainingSession
    from pipeline_src.weights import load_deployed_net, load_downscaler

    class Sampled(nn.Module):
        """A graph as training takes a downscaler: beside LR it says how it was sampled, which adds nothing here."""

        def __init__(self, graph: nn.Module) -> None:
            super().__init__()
            self.graph = graph

        def forward(self, hr: torch.Tensor) -> tuple[torch.Tensor, Sampling]:
            lr = self.graph(hr.float())
            return lr, Sampling(lr.new_zeros(1))

    params = config.load()
    spec = params.system(system)
    session = TrainingSession(params.train, params.seed, params.threads)
    upscaler, _ = load_deployed_net(paths.weights(system))
    for parameter in upscaler.parameters():
        parameter.requires_grad_(False)
    validate = session.validator(spec.scales)
    for rate in RATES:
        downscaler = load_downscaler(paths.downscaler_weights(system))
        prepared = quantization.prepare(fold(downscaler.in_standard_operators()))
        quantization.load(paths.quantized(paths.downscaler_name(system), "ptq"), prepared)
        graph = prepared.at_scale(downscaler.scale)
        if rate == RATES[0]:
            print(f"{system}, ptq: {validate(BehindDownscaler(upscaler, graph))['psnr_y']:.3f} dB", flush=True)
        quantization.begin_qat(prepared)
        joint = Joint(upscaler, Sampled(graph), spec.downscaler.model_copy(update={"bicubic_weight": 0.0}))
        recipe = Recipe(steps=STEPS, batch=8, patch=32, lr=rate, warmup=10, augment=[])
        session.fit(f"qat@{system}-downscaler", joint, recipe, {}, Options(precision=torch.float32, compiled=False))
        quantization.end_qat(prepared)
        psnr_y = validate(BehindDownscaler(upscaler, graph))["psnr_y"]
        print(f"{system}, qat with a learning rate of {rate:g}: {psnr_y:.3f} dB", flush=True)
    session.close()


def quantized() -> list[str]:
    """Return the systems of the run in this folder that have an int8 downscaler."""
    from pipeline_src import config, paths

    systems = [name for name in config.load().systems if paths.quantized(paths.downscaler_name(name), "ptq").exists()]
    if not systems:
        print("no system here has an int8 downscaler; run `dvc repro quantize@conv_x4` first")
    return systems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*")
    for name in parser.parse_args().systems or quantized():
        measure(name)
