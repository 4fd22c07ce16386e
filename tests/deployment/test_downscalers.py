"""Files of a learned downscaler: the same LR image in every runtime and on every CPU, of any size, up to its border."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from exported import assert_close, facts
from PIL import Image
from shared import photograph
from small_net import downscaler
from test_every_cpu import upscaled_without_vnni

from pipeline_src import exporting
from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.deployment import cards, formats, runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.downscaling import downscale
from pipeline_src.exporting import inventory
from pipeline_src.graph.folding import GraphNet, fold
from pipeline_src.graph.saturation import LARGEST_SUM

SCALES = [2, 3, 4]
SIDES = 12, 16  # of the LR image of files of one size


def quantized(folded: GraphNet, scale: int) -> GraphNet:
    pixels = photograph("astronaut.png")
    prepared = quantization.prepare(folded)
    calibrate(prepared, {scale: [pixels[y : y + 36 * scale, 100 : 100 + 36 * scale] for y in (0, 150, 300)]})
    return prepared


@pytest.fixture(scope="module", params=SCALES)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Card]:
    """Export a downscaler of each scale, fp32 and ptq, and return its files with their cards."""
    scale, folder = request.param, tmp_path_factory.mktemp("downscaler")
    folded = fold(downscaler(scale).in_standard_operators())
    for variant, graphs in (("fp32", folded), ("ptq", quantization.convert(quantized(folded, scale)))):
        size = SIDES[0] * scale, SIDES[1] * scale
        card_facts = facts(system="s/downscaler", variant=variant, scale=scale, takes="HR", gives="LR")
        exporting.export(graphs.at_scale(scale), folder, f"{variant}_x{scale}", size, card_facts)
    assert formats.try_out(folder.rglob("*.xml")) == {}
    return cards.read_folder(folder)


def of(files: dict[Path, Card], variant: str, fixed: bool = False) -> list[Path]:
    return [file for file, card in files.items() if card.variant == variant and bool(card.size) == fixed]


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (37, 51), (96, 72)])
def test_every_runtime_gives_the_image_of_torch(files: dict[Path, Card], size: tuple[int, int]) -> None:
    photo = photograph("rocket.jpg")[50 : 50 + size[0], 250 : 250 + size[1]]
    scale = next(iter(files.values())).scale
    expected = downscale(downscaler(scale), photo)
    assert expected.shape == (-(-size[0] // scale), -(-size[1] // scale), 3)
    for file in of(files, "fp32"):
        assert_close(runtimes.load(file, 1)(photo), expected, levels=1, decibels=60)
    first, *others = [runtimes.load(file, 1)(photo) for file in of(files, "ptq")]
    assert_close(first, expected, levels=4, decibels=46)
    assert len(others) == 2
    for other in others:
        assert_close(other, first, levels=1, decibels=70)


def test_the_reference_image_and_the_file_of_one_size(files: dict[Path, Card]) -> None:
    for file in (*of(files, "fp32"), *of(files, "ptq")):
        reference = np.asarray(Image.open(file.with_name(files[file].reference)))
        image = np.asarray(Image.open(file.with_name("reference_lr.png")))
        assert reference.shape[0] == image.shape[0] // files[file].scale
        assert_close(runtimes.load(file, 1)(image), reference, levels=1, decibels=60)
    for variant in ("fp32", "ptq"):
        (fixed,) = of(files, variant, fixed=True)
        (any_size,) = [file for file in of(files, variant) if file.suffix == ".tflite"]
        height, width = files[fixed].size or (0, 0)
        photo = photograph("rocket.jpg")[:height, 200 : 200 + width]
        assert np.array_equal(runtimes.load(fixed, 1)(photo), runtimes.load(any_size, 1)(photo))


def test_the_operators_are_few_and_int8(files: dict[Path, Card]) -> None:
    for variant, dtype in (("fp32", "float32"), ("ptq", "int8")):
        (fixed,) = of(files, variant, fixed=True)
        operators = inventory.operators(fixed)
        ends = {"MINIMUM": 1} if variant == "fp32" else {}
        assert Counter(op.name for op in operators) == ends | {
            "STRIDED_SLICE": 4, "CONCATENATION": 3, "SPACE_TO_DEPTH": 1, "CONV_2D": 3,
        }  # fmt: skip
        assert {activation for op in operators for activation in op.activations} == {dtype}


def test_no_sum_saturates_on_any_cpu(files: dict[Path, Card]) -> None:
    for file, card in files.items():
        assert card.largest_sum <= LARGEST_SUM
        assert (card.largest_sum > 0) == (card.variant == "ptq")
        assert file.exists()
    ir = [file for file in of(files, "ptq") if file.suffix == ".xml"]
    for file, image in upscaled_without_vnni(ir).items():
        assert_close(image, runtimes.load(file, 1)(np.load(file.parent / "lr.npy")), levels=1, decibels=70)


def test_the_card_says_what_the_file_takes_and_its_example_downscales_a_photograph(
    files: dict[Path, Card], tmp_path: Path
) -> None:
    for file in of(files, "ptq"):
        card = files[file]
        assert (card.takes, card.gives, card.multiple_of) == ("HR", "LR", card.scale)
        photo = photograph("coffee.png")[:61, :83]
        Image.fromarray(photo).save(tmp_path / "photo.png")
        for part in card.files:
            (tmp_path / part).write_bytes(file.with_name(part).read_bytes())
        subprocess.run([sys.executable, "-c", card.example], cwd=tmp_path, check=True, capture_output=True)
        small = np.asarray(Image.open(tmp_path / "small.png"))
        assert np.array_equal(small, runtimes.load(file, 1)(photo))


def test_the_form_of_tensorrt_keeps_the_image_and_what_is_beside_it_in_float(tmp_path: Path) -> None:
    """Symmetric int8 would take a bit from the pixels that bicubic sums."""
    graphs = quantization.convert(quantized(fold(downscaler(2).in_standard_operators()), 2))
    file, card_facts = tmp_path / "net.onnx", facts(scale=2, takes="HR", gives="LR")
    exporting.export_file(graphs.at_scale(2), "tensorrt", file, card_facts)
    assert cards.read(file).input.dtype == "float32"
    photo = photograph("rocket.jpg")[50:114, 250:330]
    assert_close(runtimes.load(file, 1)(photo), downscale(downscaler(2), photo), levels=4, decibels=46)
    joins = [op for op in inventory.operators(file) if op.name == "Concat"]
    assert {op.activations for op in joins} == {("float32",)}


def test_features_beside_the_image_share_its_scale() -> None:
    graph = quantized(fold(downscaler(2).in_standard_operators()), 2).at_scale(2)
    scales = {
        node.args[0].name: (graph.get_submodule(node.target).scale.item(), graph.get_submodule(node.target).zero_point)
        for node in graph.graph.nodes
        if node.op == "call_module" and not graph.get_submodule(node.target).is_per_channel
    }
    assert scales["cat"] == scales["space_to_depth"] == (1.0, -128)
