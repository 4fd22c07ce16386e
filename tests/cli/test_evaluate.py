"""The command ``superres evaluate``."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image
from shared import photograph

from pipeline_src.cli.main import main
from pipeline_src.library import evaluation
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


def test_the_name_of_an_image_is_no_formula_to_a_spreadsheet(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("hr/two.png").rename("hr/=1+2.png")
    evaluate(capsys, "--model", "good", "--hr", "hr", "--csv", "all.csv")
    assert [line.partition(",")[0] for line in Path("all.csv").read_text().splitlines()] == [
        "image", "'=1+2.png", "one.png", "mean",
    ]  # fmt: skip


def test_tiles_give_the_same_figures(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, tiled = (evaluate(capsys, "--model", "good", "--hr", "hr", *more) for more in ((), ("--tile", "18")))
    assert whole == tiled


def test_a_model_file_is_the_net_that_it_holds(a_run: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_name = evaluate(capsys, "--model", "good", "--runtime", "onnx", "--hr", "hr").splitlines()
    by_file = evaluate(capsys, "--model", "results/export/good/fp32_x3.onnx", "--hr", "hr").splitlines()
    assert by_name[1:] == by_file[1:]


def test_the_best_bundled_net_is_named_and_one_image_is_one(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("hr/two.png").unlink()
    out = evaluate(capsys, "--hr", "hr", "--scale", "3")
    assert out.startswith("good ×3, bicubic LR,")
    assert "\nMeans over 1 image by variants" in out


@pytest.mark.parametrize("content", [None, (3, 2), (30, 12)])
def test_an_image_that_cannot_be_measured_is_named_before_any_computing(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: pytest.fail("it was computed before the check"))
    if content:
        Image.new("RGB", content).save("hr/z.png")
    else:
        Path("hr/z.png").write_text("no image")
    message = evaluate(capsys, "--model", "good", "--hr", "hr", status=1)
    assert message.startswith("error: hr/z.png is ")


def test_a_scale_that_the_net_lacks_is_a_sentence(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = evaluate(capsys, "--model", "good", "--scale", "2", "--hr", "hr", status=1)
    assert message == "error: good upscales ×3, not ×2; choose another --scale\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--save", "hr"), "hr is a folder of the images themselves; choose another --save"),
        (("--save", "sr/../hr/"), "is a folder of the images themselves; choose another --save"),
        (("--lr", "lr", "--save", "lr"), "lr is a folder of the images themselves; choose another --save"),
        (("--save", "links"), "links/one.png is hr/one.png itself; choose another --save"),
        (("--save", "sr.png"), "sr.png has the name of an image, but --save must be a folder here"),
        (
            ("--save", "hr/one.png"),
            "hr/one.png is a file, and a folder is needed for what you name; choose another --save",
        ),
        (("--csv", "hr/one.png"), "hr/one.png is one of the images; choose another --csv"),
        (("--csv", "sr/one.png", "--save", "sr"), "sr/one.png is one of the images; choose another --csv"),
        (("--csv", "hr"), "hr is a folder, and a file is needed; choose another --csv"),
        (
            ("--csv", "hr/one.png/x.csv"),
            "hr/one.png is a file, so hr/one.png/x.csv cannot be in it; choose another --csv",
        ),
        (("--csv", "net.onnx"), "net.onnx exists, and its name is not that of a table; choose another --csv"),
        (("--csv", "/dev/null"), "/dev/null is no ordinary file, which would be replaced by one; choose another --csv"),
    ],
)
def test_results_overwrite_no_image_and_can_be_written(
    images: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: pytest.fail("it was computed before the check"))
    Path("lr").mkdir()
    Path("links").mkdir()
    for name in ("one", "two"):
        Image.new("RGB", (22, 20)).save(f"lr/{name}.png")
        Path(f"links/{name}.png").symlink_to(Path(f"hr/{name}.png").resolve())
    Path("sr").mkdir()
    Path("net.onnx").touch()
    before = {file: file.read_bytes() for file in Path().rglob("*.png")}
    message = evaluate(capsys, "--model", "good", "--hr", "hr", *arguments, status=1)
    assert message.startswith("error: ")
    assert sentence in message
    assert {file: file.read_bytes() for file in Path().rglob("*.png")} == before


def test_a_table_that_cannot_be_written_is_a_sentence(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = evaluate(capsys, "--model", "bicubic", "--scale", "3", "--hr", "hr", "--csv", "/proc/x.csv", status=1)
    assert message.startswith("error: ")
    assert message.count("\n") == 1


def test_two_images_of_one_name_are_refused(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open("hr/one.png").save("hr/one.jpg")
    message = evaluate(capsys, "--model", "good", "--hr", "hr", "--save", "sr", status=1)
    assert message == "error: hr/one.jpg and hr/one.png would both be written to sr/one.png; rename one of them\n"
    message = evaluate(capsys, "--model", "good", "--hr", "hr", "--lr", "hr", status=1)
    assert message == "error: hr/one.jpg and hr/one.png are both LR images of one name; remove one of them\n"


def test_images_that_are_left_out_are_named(
    images: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("hr/more/deep", "hr/none", "hr/sr"):
        Path(name).mkdir(parents=True)
    for name in ("hr/more/deep/a.png", "hr/sr/one.png"):
        Image.open("hr/one.png").save(name)
    Path("hr/raw.NEF").touch()
    evaluate(capsys, "--model", "good", "--hr", "hr", "--save", "hr/sr")
    assert caplog.messages == [
        "only images directly in hr, of formats that are read, are used; left out: hr/more/, hr/raw.NEF"
    ]
    message = evaluate(capsys, "--model", "good", "--hr", "hr/more", status=1)
    assert message.startswith("error: the folder hr/more has no images itself, only hr/more/deep/; name the folder")
    message = evaluate(capsys, "--model", "good", "--hr", "hr/one.png", status=1)
    assert message.startswith("error: hr/one.png is a file, and a folder of images is needed")
