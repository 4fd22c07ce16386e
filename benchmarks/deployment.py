"""Time ABPN ×3 at 360×640 → 1080×1920 in TFLite: int8 beside its own float, and both beside a general converter's.

    python benchmarks/deployment.py --threads 2

The weights are those of pipeline_src/pretrained/, int8 is PTQ on photographs of scikit-image. The general converter is
litert-torch, on the net as it is usually written (PixelShuffle, a clamp, its own int8 scheme); it is not among the
project's libraries, because it brings 70 others: `pip install litert-torch==0.10.0` adds its two rows. All files take
turns in one run, TFLite's own call is timed. Beside each are the operators in it.

The last line is the time that the multiply-adds would take at the speed of a float32 matrix product, with 4 int8
products in the time of one float32 product.
"""

import argparse
import contextlib
import copy
import importlib.util
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HEIGHT, WIDTH, SCALE = 360, 640, 3
WEIGHTS = Path(__file__).parents[1] / "pipeline_src" / "pretrained" / "abpn_x3.safetensors"


class Usual(nn.Module):
    """ABPN of ``body`` as usually written in PyTorch, for NHWC tensors: with PixelShuffle and its channel order."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = copy.deepcopy(body)
        order = [phase * 3 + colour for colour in range(3) for phase in range(SCALE**2)]
        last: Any = self.body[-1]
        last.weight.data, last.bias.data = last.weight.data[order], last.bias.data[order]

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2)
        anchored = self.body(x) + torch.repeat_interleave(x, SCALE**2, dim=1)
        return nn.functional.pixel_shuffle(anchored, SCALE).clamp(0, 255).permute(0, 2, 3, 1)


def photographs() -> list[np.ndarray]:
    """Return LR images, uint8 360×640×3, mirrored to that width."""
    import skimage.data

    crops = [image()[:HEIGHT] for image in (skimage.data.coffee, skimage.data.astronaut)]
    return [np.pad(crop, ((0, 0), (0, WIDTH - crop.shape[1]), (0, 0)), "symmetric") for crop in crops]


def ours(net: Any, folder: Path) -> dict[str, Path]:
    """Write the files of the stage export, float and int8; return them by the names of their rows."""
    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.deployment.formats import tflite
    from pipeline_src.graph import reading
    from pipeline_src.graph.folding import fold
    from pipeline_src.graph.operations import repeats_as_convolutions

    folded = fold(net)
    prepared = quantization.prepare(folded)
    calibrate(prepared, {SCALE: photographs()})
    files = {}
    for name, graphs in (("ours, float32", folded), ("ours, int8", quantization.convert(prepared))):
        files[name] = folder / f"{name}.tflite"
        operations = repeats_as_convolutions(reading.read(graphs.at_scale(SCALE)))
        tflite.write(operations, files[name], (HEIGHT, WIDTH))
    return files


def usual(net: Any, folder: Path) -> dict[str, Path]:
    """Write the files of litert-torch, float and int8 by its own quantiser; return them by the names of their rows."""
    import litert_torch
    from litert_torch.quantize import pt2e_quantizer, quant_config
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    image = torch.rand(1, HEIGHT, WIDTH, 3) * 255
    module = Usual(net.body).eval()
    files = {name: folder / f"{name}.tflite" for name in ("litert-torch, float32", "litert-torch, int8")}
    litert_torch.convert(module, (image,)).export(str(files["litert-torch, float32"]))
    scheme = pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = pt2e_quantizer.PT2EQuantizer().set_global(scheme)
    prepared = prepare_pt2e(torch.export.export(module, (image,)).module(), quantizer)
    prepared(torch.tensor(photographs()[0])[None].float())
    int8 = convert_pt2e(prepared, fold_quantize=False)
    config = quant_config.QuantConfig(pt2e_quantizer=quantizer)
    litert_torch.convert(int8, (image,), quant_config=config).export(str(files["litert-torch, int8"]))
    return files


def ready(file: Path, threads: int) -> Callable[[], None]:
    """Return TFLite's own call, with a photograph as its input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    interpreter.allocate_tensors()
    (end,) = interpreter.get_input_details()
    interpreter.set_tensor(end["index"], photographs()[0][None].astype(end["dtype"]))
    return interpreter.invoke


def products_per_second(threads: int) -> float:
    """Measure the multiply-adds per second of a float32 matrix product."""
    torch.set_num_threads(threads)
    matrix = torch.ones(2048, 2048)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return len(matrix) ** 3 / min(times)


def main() -> None:
    """Run the benchmark and print its table."""
    from pipeline_src.benchmarking.latency import in_turns, pin, timed
    from pipeline_src.exporting import inventory
    from pipeline_src.metrics.complexity import mult_adds
    from pipeline_src.weights import load_net

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--rounds", type=int, default=31, help="default 31")
    args = parser.parse_args()

    pin(args.threads)
    net, _ = load_net(WEIGHTS)
    with tempfile.TemporaryDirectory() as scratch:
        files = ours(net, Path(scratch))
        if importlib.util.find_spec("litert_torch"):
            with contextlib.redirect_stdout(sys.stderr):  # it reports every step
                files |= usual(net, Path(scratch))
        else:
            print("litert-torch is not installed: its rows are missing (pip install litert-torch==0.10.0)")
        calls = {name: timed(ready(file, args.threads)) for name, file in files.items()}
        latency = in_turns(calls, warmup=3, runs=args.rounds, interval=math.inf, min_seconds=0, max_seconds=600)
        p50 = {name: parts["ms"].p50_ms for name, parts in latency.items()}
        print(f"{'':24}{'p50 (IQR), ms':>18}{'ours int8 is':>16}   operators")
        for name, file in files.items():
            timing = latency[name]["ms"]
            operators = Counter(op.name for op in inventory.operators(file))
            speedup = f"{p50[name] / p50['ours, int8']:.2f}× faster"
            counts = ", ".join(f"{count} {op}" for op, count in operators.most_common())
            print(f"{name:24}{f'{timing.p50_ms:.1f} ({timing.iqr_ms:.1f})':>18}{speedup:>16}   {counts}")
    products = mult_adds(net.at_scale(SCALE), SCALE) * HEIGHT * WIDTH * SCALE**2 / (1280 * 720)
    speed = products_per_second(args.threads)
    print(
        f"limit: {products / 1e9:.2f} billion multiply-adds, {1e3 * products / speed:.1f} ms at the {speed / 1e9:.0f} "
        f"billion per second of a float32 matrix product, {250 * products / speed:.1f} ms in int8"
    )


if __name__ == "__main__":
    sys.exit(main())
