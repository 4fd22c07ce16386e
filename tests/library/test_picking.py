"""The best file within a budget."""

from pathlib import Path
from typing import Any

import pytest
from library_nets import save

from pipeline_src import cli, exporting, paths
from pipeline_src.budgets import COLUMNS, Budget, pick
from pipeline_src.cli import pick as command
from pipeline_src.devices.rows import COLUMNS as DEVICE_COLUMNS
from pipeline_src.errors import UserError
from pipeline_src.exporting.variants import FloatNet, variants
from pipeline_src.files import write_json
from pipeline_src.library.picking import candidates
from pipeline_src.tables import read_rows, write_table

SIZE = (180, 320)
MACHINE = {"cpu": "CPU", "cpu_features": "avx2", "threads": 2}
# net, variant, runtime, PSNR on two sets, ms, KiB, settled
FILES: list[tuple[str, str, str, tuple[float, float], float, int, bool]] = [
    ("fast", "qat", "tflite", (30.0, 31.0), 2.0, 20, True),
    ("fast", "fp32", "onnx", (30.1, 31.1), 4.0, 60, True),
    ("slow", "qat", "tflite", (32.0, 33.0), 8.0, 50, True),
    ("slow", "fp32", "onnx", (31.9, 32.9), 9.0, 150, True),  # slower than slow's int8, and worse
    ("slow", "ptq", "onnx", (33.0, 34.0), 1.0, 50, False),
]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with two nets at ×3, timed at 320×180, and a third one that rebuilds the images of its own downscaler."""
    monkeypatch.chdir(tmp_path)
    for net in ("fast", "slow", "learned"):
        save(paths.weights(net), [3])
        write_json(
            paths.results("benchmark", net) / "machine.json", {"cpu": "CPU", "cpu_features": "avx2", "threads": 2}
        )
        rows = [row(net, "bicubic", "", name, psnr) for name, psnr in (("A", 28.0), ("B", 29.0))]
        for system, variant, runtime, psnrs, ms, kib, settled in FILES:
            if net in (system, "learned"):
                times = {"p50_ms": ms, "settled": settled, "file_bytes": 1024 * kib}
                rows += [
                    row(net, variant, runtime, name, psnr, **times) for name, psnr in zip("AB", psnrs, strict=True)
                ]
                file = paths.results("export", net) / f"{variant}_x3.{runtime}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"")
        write_table(paths.results("benchmark", net) / "benchmark.csv", rows)
    save(paths.downscaler("learned") / "weights.safetensors", [3])
    return tmp_path


def row(net: str, variant: str, runtime: str, name: str, psnr: float, **others: Any) -> dict[str, Any]:
    known = {"variant": variant, "runtime": runtime, "scale": 3, "set": name, "psnr_y": psnr}
    if runtime:
        known |= {"lr_height": 180, "lr_width": 320, "runs": 30, "peak_memory_mb": 9.0, "off_levels": 0} | others
    return {"system": net} | dict.fromkeys(COLUMNS, "") | known


def chosen(budget: Budget, **how: Any) -> tuple[str, ...]:
    choice = pick(candidates(3, how.pop("size", SIZE), **how), budget)
    files = (choice.best, choice.faster, choice.better)
    return tuple(f"{file.net} {file.variant}" if file else "none" for file in files)


def test_the_best_within_the_budget_and_its_neighbours_on_the_front(measured: Path) -> None:
    assert chosen(Budget(ms=5)) == ("fast fp32", "fast qat", "slow qat")
    assert chosen(Budget(ms=2)) == ("fast qat", "none", "fast fp32")
    assert chosen(Budget()) == ("slow qat", "fast fp32", "none")


def test_every_limit_counts(measured: Path) -> None:
    assert chosen(Budget(ms=5, kib=30)) == ("fast qat", "none", "none")
    assert chosen(Budget(runtime="onnx")) == ("slow fp32", "fast fp32", "none")
    assert chosen(Budget(ms=5, variant="qat")) == ("fast qat", "none", "slow qat")
    assert chosen(Budget(ms=10, psnr_y=32)) == ("slow qat", "none", "none")


def test_latencies_are_in_proportion_to_the_area(measured: Path) -> None:
    assert chosen(Budget(ms=5), size=(360, 320)) == ("fast qat", "none", "fast fp32")
    (best,) = (file for file in candidates(3, (360, 640)) if (file.net, file.variant) == ("slow", "qat"))
    assert best.ms == 32.0
    assert best.timed == SIZE
    assert (best.psnr_y, best.gain) == (32.5, 4.0)


def test_the_quality_is_of_the_sets_that_are_named(measured: Path) -> None:
    (one,) = (file for file in candidates(3, SIZE, ["B"]) if (file.net, file.variant) == ("slow", "qat"))
    assert (one.psnr_y, one.gain) == (33.0, 4.0)
    with pytest.raises(UserError, match=r"nothing on C; choose one of A, B as --set"):
        candidates(3, SIZE, ["C"])


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            Budget(ms=1),
            r"1 ms or less; the fastest, fast ×3 qat tflite, takes 2\.0 ms and reaches 30\.50 dB",
        ),
        (Budget(psnr_y=40), "no file is within the budget, however long it takes; lower --min-psnr"),
    ],
)
def test_the_error_of_a_budget_that_nothing_fits_says_what_the_cheapest_needs(
    measured: Path, budget: Budget, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        chosen(budget)


def test_another_scale_and_no_run_are_told(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="this run has no file ×2 whose latency has settled; it has ×3"):
        candidates(2, SIZE)
    (measured / "empty").mkdir()
    monkeypatch.chdir(measured / "empty")
    with pytest.raises(UserError, match=r"results/benchmark holds no measurements; run `make report`"):
        candidates(3, SIZE)


def test_the_command_prints_the_file_and_ships_it(
    measured: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    weights = paths.weights("slow")
    ((graph, facts),) = variants(FloatNet.load("slow", weights), {}, {"fp32": {"over_bicubic": 1.0}})
    exporting.export_file(graph, "onnx", paths.results("export", "slow") / "fp32_x3.onnx", facts)
    options = ["--scale", "3", "--runtime", "onnx", "--size", "90x160", "--copy-to", str(tmp_path / "app")]
    with pytest.raises(SystemExit) as ended:
        cli.main.run_command("pick", None, command.add_arguments, command.run, options)
    assert ended.value.code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "slow ×3 fp32 onnx: 32.40 dB, +3.90 dB over bicubic"
    assert printed[1] == (
        "  2.2 ms for 160×90 to 480×270, in proportion from 320×180; median of 30 calls on CPU (no VNNI), 2 threads"
    )
    elsewhere = "another CPU than that of this machine; to measure here: dvc repro --force --single-item benchmark@slow"
    assert printed[4] == f"  that is {elsewhere}"
    assert printed[5:7] == ["faster: fast ×3 fp32 onnx: 1.0 ms, 30.60 dB (-1.80)", "better: none"]
    names = {"fp32_x3.onnx", "fp32_x3.onnx.json", "fp32_x3_example.py"}
    assert {file.name for file in (tmp_path / "app").iterdir()} == names
    assert "onnxruntime" in (tmp_path / "app/fp32_x3_example.py").read_text()


def test_a_device_has_its_own_latencies_and_the_quality_of_this_machine(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for net in ("fast", "slow", "learned"):
        file = paths.results("benchmark", net) / "benchmark.csv"
        write_table(file, [row | {"sha256": "f0"} for row in read_rows(file, COLUMNS | {"system": str}, "")])
    rows = [
        {"system": net, "variant": variant, "runtime": runtime, "format": "tflite", "scale": 3, "sha256": "f0"}
        | {"lr_height": 180, "lr_width": 320, "threads": 4, "runs": 30, "p50_ms": ms, "settled": True, "compared": True}
        | {"disagrees": disagrees}
        for net, variant, runtime, ms, disagrees in (
            ("fast", "qat", "tflite", 20.0, ""),
            ("slow", "qat", "tflite", 80.0, ""),
            ("slow", "qat", "tflite_gpu", 30.0, ""),
            ("slow", "qat", "tflite_npu", 1.0, "gives another image there than at export"),
        )
    ]
    paths.measured("phone").mkdir(parents=True)
    write_table(paths.measured("phone") / "measure.csv", [dict.fromkeys(DEVICE_COLUMNS, "") | row for row in rows])
    write_json(paths.measured("phone") / "machine.json", MACHINE | {"cpu": "a phone"})
    choice = pick(candidates(3, SIZE, device="phone"), Budget(ms=50))
    assert choice.faster
    assert (choice.best.net, choice.best.runtime, choice.best.ms) == ("slow", "tflite_gpu", 30.0)
    assert (choice.best.psnr_y, choice.best.gain) == (32.5, 4.0)
    assert (choice.faster.net, choice.faster.ms) == ("fast", 20.0)
    options = ["--scale", "3", "--runtime", "tflite", "--device", "phone"]
    with pytest.raises(SystemExit) as ended:
        cli.main.run_command("pick", None, command.add_arguments, command.run, options)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "median of 30 calls on a phone (no VNNI), 2 threads" in said
    assert "whether phone computes the same net is not known: its image was not compared" in said
    with pytest.raises(UserError, match=r"devices/pi/measure\.csv does not exist; run .*stages\.measure pi"):
        candidates(3, SIZE, device="pi")
