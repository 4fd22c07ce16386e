"""Find which runtime runs int8 fastest on this CPU, and what ONNX Runtime's exact mode costs: ABPN ×3 at 640×360.

    python benchmarks/int8_on_this_cpu.py --threads 2

The files of the stage export, float and int8 (PTQ on photographs of scikit-image, weights of
pipeline_src/pretrained/), take turns in one run; a runtime's own call is timed. Beside each is how far its image is
from that of torch.

The int8 file is also run with the session option x64quantprecision, which makes ONNX Runtime sum products without
saturation on CPUs that have no VNNI. The files of this project do not need it.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from deployment import HEIGHT, SCALE, WEIGHTS, WIDTH, photographs


def export(folder: Path) -> list[Path]:
    """Write the files of both variants, as the stage export does."""
    from pipeline_src import exporting
    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.deployment.cards import Facts
    from pipeline_src.graph.folding import fold
    from pipeline_src.weights import load_net

    net, _ = load_net(WEIGHTS)
    folded = fold(net)
    prepared = quantization.prepare(folded)
    calibrate(prepared, {SCALE: photographs()})
    files = []
    for variant, graphs in (("fp32", folded), ("ptq", quantization.convert(prepared))):
        facts = Facts(
            system="abpn_x3",
            model="abpn",
            variant=variant,
            scale=SCALE,
            colour="RGB",
            lr="bicubic",
            origin="trained here",
            dtype="float32",
            parameters=1,
            mult_adds=1,
            float_layers=[],
            validation={},
            weights={},
        )
        files += exporting.export(graphs.at_scale(SCALE), folder, variant, (HEIGHT, WIDTH), facts)
    return files


def exact(file: Path, threads: int) -> Callable[[], object]:
    """Return ONNX Runtime's own call in its exact mode."""
    from pipeline_src.deployment.formats import onnx

    session = onnx.open_session(file, threads, exact=True)
    lr = photographs()[0].transpose(2, 0, 1)[None].copy()
    return lambda: session.run(None, {"lr": lr})


def main() -> None:
    """Run the benchmark and print its table."""
    from pipeline_src.benchmarking import machine
    from pipeline_src.benchmarking.latency import in_turns, pin, timed
    from pipeline_src.deployment import cards, reference, runtimes
    from pipeline_src.imaging.images import read_image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--runs", type=int, default=60, help="calls of each file, default 60")
    args = parser.parse_args()

    pin(args.threads)
    facts = machine.describe(args.threads)
    print(f"{facts['cpu']} ({facts['cpu_features']}), {args.threads} threads")
    calls: dict[str, Callable[[], dict[str, float]]] = {}
    differences = {}
    with tempfile.TemporaryDirectory() as scratch:
        for file in export(Path(scratch)):
            card, runner = cards.read(file), runtimes.load(file, args.threads)
            name = f"{card.format}, {'float' if card.variant == 'fp32' else 'int8'}"
            if not card.size:
                lr = read_image(file.with_name(reference.LR_FILE))
                agreement = reference.compare(runner(lr), read_image(file.with_name(card.reference)))
                differences[name] = f"{agreement.levels} levels, {agreement.within_one:.2%} within one"
            if card.size or card.format != "tflite":
                tensor = runner.to_input(photographs()[0])
                calls[name] = timed(lambda infer=runner.infer, tensor=tensor: infer(tensor))  # type: ignore[misc]
            if name == "onnx, int8":
                calls["onnx, int8, exact mode"] = timed(exact(file, args.threads))
        latency = in_turns(calls, warmup=3, runs=args.runs, interval=math.inf, min_seconds=0, max_seconds=600)
    fastest = min(parts["ms"].p50_ms for parts in latency.values())
    print(f"{'':24}{'calls':>6}{'p50 (IQR), ms':>18}{'of fastest':>12}   difference from torch")
    for name, parts in sorted(latency.items(), key=lambda item: item[1]["ms"].p50_ms):
        timing = parts["ms"]
        p50, times = f"{timing.p50_ms:.1f} ({timing.iqr_ms:.1f})", f"{timing.p50_ms / fastest:.2f}×"
        print(f"{name:24}{timing.runs:>6}{p50:>18}{times:>12}   {differences.get(name, '')}")


if __name__ == "__main__":
    sys.exit(main())
