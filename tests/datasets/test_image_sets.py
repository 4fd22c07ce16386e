"""Getting image sets: sources, checks, and the errors for sets that are not available."""

import csv
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import astuple, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_src.config import ImageSet
from pipeline_src.datasets import catalogue, image_sets, synthetic
from pipeline_src.datasets.catalogue import read_catalogue
from pipeline_src.datasets.image_sets import obtain
from pipeline_src.datasets.known_sets import SETS, Archive, KnownSet
from pipeline_src.datasets.manifests import read_manifest
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import describe, read_image
from pipeline_src.preflight.image_sets import needs_of

EVALUATION, TRAINING = ImageSet(role="evaluation"), ImageSet(role="training")
PIXELS = {
    name: np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for seed, name in enumerate(["bird", "boat", "bush"])
}


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for a set, inside the working folder; there is no mirror."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(image_sets.MIRROR, raising=False)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def mirror(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(image_sets.MIRROR, str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add Tiny, a set of three images, to the catalogue and the known sets."""
    with (tmp_path / "catalogue.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["set", "file", "width", "height", "mode", "sha256_pixels"])
        for name, pixels in PIXELS.items():
            described = describe(picture(tmp_path / "originals" / f"{name}.png", pixels))
            table.writerow(["Tiny", f"{name}.png", *astuple(described)])
    monkeypatch.setattr(catalogue, "CATALOGUE", tmp_path / "catalogue.csv")
    monkeypatch.setitem(SETS, "Tiny", KnownSet(3, "Nobody, 2020", evaluation_only=True))


def test_the_catalogue_agrees_with_the_known_sets() -> None:
    listed = read_catalogue()
    assert {name: len(files) for name, files in listed.items()} == {name: SETS[name].images for name in listed}
    assert set(SETS) - set(listed) == {"Urban100", "DIV2K_train", "DIV2K_valid", "synthetic"}
    held_out = {image.sha256_pixels for name in listed if SETS[name].evaluation_only for image in listed[name].values()}
    others = {
        image.sha256_pixels for name in listed if not SETS[name].evaluation_only for image in listed[name].values()
    }
    assert len(others) == 14 + 91 + 200 + 200 + 100 + 80 - 1  # t36 and t65 of T91 are one picture
    assert not held_out & others


@pytest.mark.parametrize(("name", "spec"), [("samples", TRAINING), ("samples_heldout", EVALUATION)])
def test_samples_come_from_scikit_image(out: Path, name: str, spec: ImageSet) -> None:
    entries = obtain(name, spec, out)
    assert entries == read_manifest(out)
    assert {entry.file for entry in entries} == set(read_catalogue()[name])
    assert {entry.verified for entry in entries} == {"catalogue"}
    for entry in entries:
        assert describe(out / entry.file).sha256_pixels == entry.sha256_pixels


def test_scikit_image_is_not_imported_for_its_photographs(out: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline_src.config import ImageSet;"
        "from pipeline_src.datasets.image_sets import obtain;"
        "obtain('samples_heldout', ImageSet(role='evaluation'), Path('out')); print('skimage' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"PYTHONPATH": str(root)})
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("name", sorted(set(read_catalogue()) - {"samples", "samples_heldout"}))
def test_the_mirror_agrees_with_the_catalogue(name: str, tmp_path: Path) -> None:
    if not os.environ.get(image_sets.MIRROR):
        pytest.skip(f"{image_sets.MIRROR} is not set")
    entries = obtain(name, EVALUATION, tmp_path)
    assert {entry.verified for entry in entries} == {"catalogue"}
    assert len(list(tmp_path.iterdir())) == SETS[name].images + 1


@pytest.mark.parametrize("layout", ["Tiny/HR", "Tiny"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_mirror_may_use_any_lossless_format_and_names(
    out: Path, mirror: Path, tiny: None, layout: str, suffix: str
) -> None:
    for number, pixels in enumerate(reversed(PIXELS.values())):
        picture(mirror / layout / f"img_{number}.{suffix}", pixels)
    picture(mirror / layout / "extra.png", 255 - PIXELS["bird"])
    entries = obtain("Tiny", EVALUATION, out)
    assert [entry.file for entry in entries] == [f"bird.{suffix}", f"boat.{suffix}", f"bush.{suffix}"]
    assert entries[0].source == f"SR_DATA_MIRROR/{layout}/img_2.{suffix}"
    np.testing.assert_array_equal(np.asarray(Image.open(out / f"boat.{suffix}")), PIXELS["boat"])
    assert sorted(path.name for path in out.iterdir()) == [entry.file for entry in entries] + ["manifest.csv"]


@pytest.mark.parametrize(
    ("pixels", "trouble"),
    [
        (None, r"lacks 2 of the 3 images of Tiny: the first, bird\.png, is missing; put the original"),
        (PIXELS["bird"] ^ 1, r"lacks 2 of the 3 .* bird\.png, has other pixels than the original; put"),
        (PIXELS["bird"][..., 0], r"lacks 2 of the 3 .* bird\.png, is 30×20 L, the original 30×20 RGB; put"),
        (
            PIXELS["bird"].reshape(30, 20, 3),
            r"lacks 2 of the 3 .* bird\.png, is 20×30 RGB, the original 30×20 RGB; put",
        ),
    ],
)
def test_the_error_for_missing_or_wrong_images_names_the_first_and_their_number(
    out: Path, mirror: Path, tiny: None, pixels: np.ndarray | None, trouble: str
) -> None:
    picture(mirror / "Tiny/HR/boat.png", PIXELS["boat"])
    if pixels is not None:
        picture(mirror / "Tiny/HR/bird.png", pixels)
    with pytest.raises(UserError, match=trouble):
        obtain("Tiny", EVALUATION, out)
    assert list(out.iterdir()) == []


def test_an_image_that_is_twice_in_the_catalogue_needs_two_files(out: Path, mirror: Path, tiny: None) -> None:
    lines = catalogue.CATALOGUE.read_text().splitlines()
    catalogue.CATALOGUE.write_text("\n".join([*lines, lines[1].replace("bird", "twin"), ""]))
    for name, pixels in PIXELS.items():
        picture(mirror / f"Tiny/{name}.png", pixels)
    with pytest.raises(UserError, match=r"lacks 1 of the 4 images of Tiny: the first, twin\.png, is missing"):
        obtain("Tiny", EVALUATION, out)
    picture(mirror / "Tiny/any.png", PIXELS["bird"])
    assert len(obtain("Tiny", EVALUATION, out)) == 4


def test_a_mirror_that_is_not_a_folder_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(image_sets.MIRROR, "/nowhere/at/all")
    with pytest.raises(UserError, match="SR_DATA_MIRROR names /nowhere/at/all, which is not a folder"):
        obtain("Set5", EVALUATION, out)


def test_the_error_for_an_unavailable_set_lists_every_way_to_provide_it(out: Path, tiny: None) -> None:
    for ways in (r"has no permanent address", r"put its 3 HR images into Tiny/HR", r"SR_DATA_MIRROR", r"Tiny: folder:"):
        with pytest.raises(UserError, match=rf"^the image set Tiny \(Nobody, 2020\) is not available .*{ways}"):
            obtain("Tiny", EVALUATION, out)
    with pytest.raises(
        UserError, match=r"holiday of params.yaml is not in the catalogue \(samples, .*`folder:`.*holiday/HR"
    ):
        obtain("holiday", EVALUATION, out)


def test_an_evaluation_set_is_never_trained_on(out: Path, tmp_path: Path) -> None:
    only = {name for name, known in SETS.items() if known.evaluation_only}
    assert only == {
        "samples_heldout", "Set5", "Set14", "BSD100", "Urban100", "DIV2K_valid", "DIV2K_valid_crop256"
    }  # fmt: skip
    for name in only:
        with pytest.raises(
            UserError, match=f"the image set {name} is for evaluation only; give it the role evaluation"
        ):
            obtain(name, TRAINING, out)
    obtain("samples_heldout", EVALUATION, out)
    renamed = tmp_path / "mine"
    renamed.mkdir()
    (out / "camera.png").rename(renamed / "me.png")
    with pytest.raises(
        UserError, match=r"me\.png of the training set mine is samples_heldout/camera\.png, which is for"
    ):
        obtain("mine", ImageSet(role="training", folder=str(renamed)), tmp_path / "out")


def test_a_set_can_come_from_the_users_own_folder(out: Path, tmp_path: Path) -> None:
    picture(tmp_path / "my photos/b, c.jpg", PIXELS["bird"])
    picture(tmp_path / "my photos/a.png", PIXELS["boat"][..., 0])
    (tmp_path / "my photos/notes.txt").write_text("x")
    entries = obtain("holiday", ImageSet(role="evaluation", folder="my photos"), out)
    assert [(e.file, e.mode, e.source, e.verified) for e in entries] == [
        ("a.png", "L", "my photos/a.png", "no"),
        ("b, c.jpg", "RGB", "my photos/b, c.jpg", "no"),
    ]
    assert (out / "b, c.jpg").read_bytes() == (tmp_path / "my photos/b, c.jpg").read_bytes()
    assert read_manifest(out) == entries


def test_a_new_set_can_come_from_the_mirror(out: Path, mirror: Path) -> None:
    picture(mirror / "Manga/HR/a.png", PIXELS["bird"])
    picture(mirror / "Manga/LR/a.png", PIXELS["boat"])
    assert [(e.file, e.verified) for e in obtain("Manga", EVALUATION, out)] == [("a.png", "no")]


def test_a_bad_folder_is_a_user_error(out: Path, tmp_path: Path) -> None:
    own = ImageSet(role="evaluation", folder="photos")
    with pytest.raises(UserError, match="the folder photos does not exist"):
        obtain("holiday", own, out)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="photos holds no images of holiday"):
        obtain("holiday", own, out)
    broken = picture(tmp_path / "photos/a.png", PIXELS["bird"])
    picture(tmp_path / "photos/a.bmp", PIXELS["boat"])
    with pytest.raises(UserError, match=r"two images of the same name, a\.bmp and a\.png"):
        obtain("holiday", own, out)
    (tmp_path / "photos/a.bmp").unlink()
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(UserError, match=r"photos/a\.png is broken or cut short"):
        obtain("holiday", own, out)
    broken.unlink()
    Image.fromarray(PIXELS["bird"][..., 0].astype(np.float32)).save(tmp_path / "photos/b.tif")
    with pytest.raises(UserError, match=r"photos/b\.tif has samples that 16 bits do not hold"):
        obtain("holiday", own, out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a b", "", "a/b", "a.b"])
def test_invalid_names_of_sets_are_refused(out: Path, name: str) -> None:
    with pytest.raises(UserError, match="needs a name of letters, digits, _ and -"):
        obtain(name, EVALUATION, out)


@pytest.mark.parametrize(("name", "first", "last"), [("DIV2K_train", 1, 800), ("DIV2K_valid", 801, 900)])
def test_div2k_without_hashes_is_checked_by_number_names_and_size(
    out: Path, mirror: Path, name: str, first: int, last: int
) -> None:
    line = np.zeros((1, 2040), np.uint8)
    for number in range(first, last + 1):
        picture(mirror / name / f"HR/{number:04}.png", line)
    entries = obtain(name, EVALUATION, out)
    assert len(entries) == last - first + 1
    assert {entry.verified for entry in entries} == {"first use"}
    picture(mirror / name / f"HR/{last:04}.png", line[:, 1:])
    with pytest.raises(
        UserError, match=rf"{last:04}\.png is 2039×1, but every image of {name} has a side of 2040 pixels"
    ):
        obtain(name, EVALUATION, out)
    (mirror / name / f"HR/{last:04}.png").unlink()
    with pytest.raises(
        UserError, match=rf"lacks 1 of the {last - first + 1} images of {name}, the first is {last:04}\.png"
    ):
        obtain(name, EVALUATION, out)


def test_urban100_must_have_100_images(out: Path, mirror: Path) -> None:
    for number in range(1, 100):
        picture(mirror / f"Urban100/HR/img_{number:03}.png", PIXELS["bird"])
    with pytest.raises(UserError, match="holds 99 images, but Urban100 has 100"):
        obtain("Urban100", EVALUATION, out)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve one correct and two wrong archives of Tiny on this machine, and return the address."""
    folder = tmp_path / "served"
    folder.mkdir()
    for archive, lowest_bit in {"right.zip": 0, "wrong.zip": 1}.items():
        with zipfile.ZipFile(folder / archive, "w") as packed:
            for name, pixels in PIXELS.items():
                packed.write(picture(tmp_path / "packing" / f"{name}.bmp", pixels ^ lowest_bit), f"Tiny/HR/{name}.bmp")
    with zipfile.ZipFile(folder / "evil.zip", "w") as packed:
        packed.writestr("Tiny/HR/../../../evil.bmp", b"")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def offer(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    archives = tuple(Archive(url, "*/HR/*.bmp") for url in urls)
    monkeypatch.setitem(SETS, "Tiny", KnownSet(3, "Nobody, 2020", evaluation_only=True, archives=archives))


def test_addresses_are_tried_until_one_has_the_set(
    out: Path, tiny: None, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, f"{server}/gone.zip", f"{server}/wrong.zip", f"{server}/right.zip")
    entries = obtain("Tiny", EVALUATION, out)
    assert entries[0].source == f"{server}/right.zip#Tiny/HR/bird.bmp"
    assert {entry.verified for entry in entries} == {"catalogue"}
    left = sorted(path.name for path in image_sets.DOWNLOADS.iterdir() if path.suffix != ".lock")
    assert sorted(name.partition("-")[2] for name in left) == ["right.zip", "wrong.zip"]


def test_if_no_address_has_the_set_the_error_gives_every_reason(
    out: Path, tmp_path: Path, tiny: None, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, f"{server}/gone.zip", f"{server}/wrong.zip", f"{server}/evil.zip")
    with pytest.raises(UserError) as raised:
        obtain("Tiny", EVALUATION, out)
    for reason in ("is not available", "404", "has other pixels than the original", "would be written outside"):
        assert reason in str(raised.value)
    assert list(out.iterdir()) == []
    assert not list(tmp_path.rglob("evil.bmp"))


def test_the_synthetic_set_is_drawn_and_the_same_each_time(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "COUNT", 3)
    monkeypatch.setitem(SETS, "synthetic", replace(SETS["synthetic"], images=3))
    entries = obtain("synthetic", TRAINING, out)
    assert [(entry.file, entry.width, entry.height, entry.verified) for entry in entries] == [
        (f"0{index}.png", 360, 360, "drawn") for index in range(3)
    ]
    assert len({entry.sha256_pixels for entry in entries}) == 3
    pixels = read_image(out / "02.png")
    assert np.array_equal(pixels, synthetic.draw(2))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "soft edges and many colours"
    (needs,) = needs_of({"synthetic": TRAINING})
    assert needs.pixels == 3 * 360**2
