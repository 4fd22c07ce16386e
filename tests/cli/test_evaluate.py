"""The command ``superres evaluate``."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image
from shared import photograph

from pipeline_src.cli.main import main
from pipeline_src.metrics.variants import PROTOCOL, VARIANTS


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--threads", "1", *arguments])
    streams = capsys.readouterr()
    assert end.value.code == status, streams.err
    return streams.err if status else streams.out


@pytest.fixture
def images(shelf: Path) -> Path:
    Path("hr").mkdir()
    for name, y in (("one", 60), ("two", 120)):
        Image.fromarray(photograph("chelsea.png")[y : y + 60, 100:166]).save(f"hr/{name}.png")
    return shelf


def test_figures_are_printed_by_name_and_written(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = evaluate(capsys, "--model", "good", "--hr", "hr", "--csv", "all.csv", "--save", "sr")
    lines = out.splitlines()
    assert lines[0].startswith("good ×3, bicubic LR, by the protocol of docs/protocol.md (shave 3,")
    assert [line.split()[0] for line in lines[2:5]] == ["one.png", "two.png", "mean"]
    assert [line.split("  ")[-1] for line in lines[6:]] == [*VARIANTS.values()]
    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["image", *PROTOCOL, *VARIANTS, "bicubic_psnr_y"]
    assert f"{float(rows[2]['psnr_y']):.2f}" == re.split(r" +", lines[4])[1]
    assert {path.name for path in Path("sr").iterdir()} == {"one.png", "two.png"}


def test_tiles_give_the_same_figures(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, tiled = (evaluate(capsys, "--model", "good", "--hr", "hr", *more) for more in ((), ("--tile", "18")))
    assert whole == tiled


def test_a_model_file_is_the_net_that_it_holds(a_run: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_name = evaluate(capsys, "--model", "good", "--runtime", "onnx", "--hr", "hr").splitlines()
    by_file = evaluate(capsys, "--model", "results/export/good/fp32_x3.onnx", "--hr", "hr").splitlines()
    assert by_name[1:] == by_file[1:]


def test_a_scale_that_the_net_lacks_is_a_sentence(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = evaluate(capsys, "--model", "good", "--scale", "2", "--hr", "hr", status=1)
    assert message == "error: good upscales ×3, not ×2; choose another --scale\n"
