"""The nets that the package carries."""

import json
from pathlib import Path

import pytest
from library_nets import measured, save

from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.library import bundled
from pipeline_src.library.entries import HELD_OUT


def test_every_weights_file_of_the_package_has_a_card_with_its_hash_and_figures() -> None:
    """After a change in the folder: ``python -m pipeline_src.library.measuring``."""
    cards = json.loads((bundled.FOLDER / bundled.CARDS).read_text())
    entries = bundled.entries()
    assert {entry.name: sha256(entry.weights) for entry in entries} == {
        name: card["sha256"] for name, card in cards.items()
    }
    for entry in entries:
        measured = {m.scale for m in entry.measurements if m.set_name == HELD_OUT}
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
