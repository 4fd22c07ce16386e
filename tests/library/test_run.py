"""The nets of a run, from its results alone."""

from pathlib import Path

import pytest

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.library import run
from pipeline_src.weights import save_tensors


def test_a_folder_without_results_has_none(shelf: Path) -> None:
    assert run.entries() == []


def test_a_run_has_its_nets_with_what_was_measured(a_run: Path) -> None:
    (entry,) = run.entries()
    assert (entry.name, entry.source, entry.scales) == ("good", "run", (3,))
    assert entry.provenance == "trained here"
    assert entry.over_bicubic(3) == -0.3  # on the validation images
    by_runtime = {m.runtime: m for m in entry.measurements}
    assert by_runtime["onnx"].over_bicubic == pytest.approx(-0.5)
    assert (by_runtime["onnx"].p50_ms, by_runtime["onnx"].lr_size) == (40.25, (360, 640))
    assert by_runtime["tflite"].p50_ms is None  # has not settled


def test_a_run_that_was_only_trained_has_the_validation_of_the_training(a_run: Path) -> None:
    Path("results/quantize/good/metrics.json").unlink()
    Path("results/train/good").mkdir(parents=True)
    Path("results/train/good/metrics.json").write_text('{"over_bicubic": 0.7}')
    (entry,) = run.entries()
    assert entry.over_bicubic(3) == 0.7


def test_a_file_that_was_not_exported_names_the_stage(a_run: Path) -> None:
    (entry,) = run.entries()
    assert run.exported_file(entry.name, "fp32", ".onnx", 3) == Path("results/export/good/fp32_x3.onnx")
    with pytest.raises(UserError, match=r"export/good/fp32_x3\.tflite does not exist; run .*dvc repro export@good"):
        run.exported_file(entry.name, "fp32", ".tflite", 3)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "quantize/good/metrics.json",
            '{"good": {"fp32": 3}}',
            r"damaged: good\.fp32: .*; run `python -m .*\.quantize g",
        ),
        (
            "benchmark/good/benchmark.csv",
            "variant,runtime\n",
            r"lacks the column \w+; run `python -m .*\.benchmark good`",
        ),
        ("benchmark/good/benchmark.csv", "", r"is empty; run `python -m .*\.benchmark good`"),
    ],
)
def test_a_damaged_file_of_a_run_is_one_sentence(a_run: Path, file: str, content: str, sentence: str) -> None:
    (a_run / "results" / file).write_text(content)
    with pytest.raises(UserError, match=sentence):
        run.entries()


def test_weights_that_do_not_say_their_net_are_one_sentence(a_run: Path) -> None:
    save_tensors(paths.weights("good"), {}, {"model": "abpn", "scales": 3, "net": {}})
    with pytest.raises(UserError, match=r"good/weights\.safetensors does not say which net it holds; give a file that"):
        run.entries()
