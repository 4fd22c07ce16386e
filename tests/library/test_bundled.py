"""The nets that the package carries."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library_nets import measured, save
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.imaging.images import write_png
from pipeline_src.library import bundled, listing, measuring
from pipeline_src.library.calibration import calibration_images
from pipeline_src.library.nets import Running, resolve


def test_every_weights_file_of_the_package_has_a_card_with_its_hash_and_figures() -> None:
    """After a change in the folder: ``python -m pipeline_src.library.measuring``."""
    cards = json.loads((bundled.FOLDER / bundled.CARDS).read_text())
    entries = bundled.entries()
    assert {entry.name: sha256(entry.weights) for entry in entries} == {
        name: card["sha256"] for name, card in cards.items()
    }
    for entry in entries:
        measured = {m.scale for m in entry.measurements if m.set_name == bundled.held_out(entry.lr)}
        assert measured == {*entry.scales}, entry.name
        assert entry.provenance
        assert entry.licence


def test_the_package_has_a_net_above_bicubic_at_every_scale() -> None:
    entries = bundled.entries()
    assert bundled.scales(entries) == (2, 3, 4)
    for scale in (2, 3, 4):
        gain = bundled.best(scale, entries).over_bicubic(scale)
        assert gain is not None
        assert gain > 1


def test_whatever_weights_lie_in_the_folder_are_bundled(shelf: Path) -> None:
    entries = {entry.name: entry for entry in bundled.entries()}
    assert [*entries] == ["bad", "good", "learned", "new", "super"]
    assert entries["super"].supernet
    assert not entries["good"].supernet
    assert entries["good"].provenance == "trained from nothing, 1,200 steps"
    assert entries["learned"].downscaler == shelf / "learned_downscaler.safetensors"
    assert (entries["learned"].lr, entries["good"].lr) == ("car", "bicubic")
    assert entries["new"].over_bicubic(3) is None  # nobody has measured it


def test_the_best_net_is_farthest_above_bicubic_on_bicubics_images(shelf: Path) -> None:
    entries = bundled.entries()
    assert bundled.best(3, entries).name == "good"
    assert bundled.best(4, entries).name == "super"  # not the one that wants images of its own downscaler
    assert bundled.scales(entries) == (2, 3, 4)
    with pytest.raises(UserError, match="no bundled net upscales ×5; choose one of `superres models`"):
        bundled.best(5, entries)


@pytest.mark.parametrize(("larger", "best"), [(1.05, "good"), (1.2, "larger")])
def test_of_nets_that_are_alike_the_smallest_is_the_best(shelf: Path, larger: float, best: str) -> None:
    weights = shelf / "larger.safetensors"
    save(weights, [3], note="x" * 4096)
    cards = json.loads((shelf / "cards.json").read_text())
    cards["larger"] = {"sha256": sha256(weights), "measurements": [measured("samples_heldout", 3, larger)]}
    (shelf / "cards.json").write_text(json.dumps(cards))
    assert bundled.best(3, bundled.entries()).name == best


def test_without_a_card_the_header_says_what_the_net_is_worth(shelf: Path) -> None:
    save(shelf / "good.safetensors", [3], over_bicubic=-0.4)
    assert {entry.name: entry.over_bicubic(3) for entry in bundled.entries()}["good"] == 1.0
    (shelf / "cards.json").unlink()
    assert {entry.name: entry.over_bicubic(3) for entry in bundled.entries()} == {
        **dict.fromkeys(("bad", "learned", "new", "super")),
        "good": -0.4,
    }


def test_the_best_net_for_photographs_is_of_those_trained_on_degraded_images(shelf: Path) -> None:
    assert bundled.scales(bundled.entries(), "degraded") == ()
    with pytest.raises(UserError, match="no bundled net is for degraded images"):
        resolve(None, Running(), "degraded")
    cards = json.loads((shelf / "cards.json").read_text())
    for name, gain in (("photo", 1.0), ("worse", 0.5)):
        weights = shelf / f"{name}.safetensors"
        save(weights, [3], downscaler={"model": "degraded"})
        cards[name] = {"sha256": sha256(weights), "measurements": [measured("samples_heldout_degraded", 3, gain)]}
    (shelf / "cards.json").write_text(json.dumps(cards))
    entries = bundled.entries()
    assert (bundled.best(3, entries, "degraded").name, bundled.best(3, entries).name) == ("photo", "good")
    net = resolve(None, Running(), "degraded")
    assert (net.scales, net.open(3).scale) == ((3,), 3)
    assert "with --for photo: photo (×3)" in listing.table(entries)


def test_a_net_for_photographs_is_measured_and_calibrated_on_degraded_images(shelf: Path, tmp_path: Path) -> None:
    weights = shelf / "photo.safetensors"
    save(weights, [3], downscaler={"model": "degraded"})
    (entry,) = (entry for entry in bundled.entries() if entry.name == "photo")
    picture = tmp_path / "a.png"
    write_png(picture, photograph("coffee.png")[:120, :150])
    degraded = measuring.measure(entry, "mine", [picture], 3)
    clean = measuring.measure(replace(entry, lr="bicubic"), "mine", [picture], 3)
    assert (degraded.set_name, clean.set_name) == ("mine_degraded", "mine")
    assert degraded.psnr_y < clean.psnr_y - 0.5
    for image, clean_image in zip(
        calibration_images(None, 3, "degraded"), calibration_images(None, 3, "bicubic"), strict=True
    ):
        assert image.shape == clean_image.shape
        assert not np.array_equal(image, clean_image)
