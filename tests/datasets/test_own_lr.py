"""Pairs of the user's own: LR images are found by name, compared in size, and used in place of bicubic's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import photograph

from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.config import BuildH5, ImageSet
from pipeline_src.datasets import image_sets, own_lr
from pipeline_src.datasets.catalogue import read_catalogue
from pipeline_src.datasets.image_sets import obtain
from pipeline_src.datasets.manifests import Entry, read_manifest, refuse_overlap
from pipeline_src.datasets.training_pairs import training_pairs
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import list_images, read_image
from pipeline_src.imaging.imresize import imresize
from pipeline_src.preflight.image_sets import needs_of

Obtain = Callable[[], list[Entry]]
SPEC = BuildH5(scales=[2, 4], validation_every=2, resize_factors=[1.0, 0.5])
HR = {name: photograph("coffee.png")[top : top + 71, 100:185] for name, top in {"a.d": 0, "a": 100, "b": 200}.items()}
LR = {(name, scale): hr[: 71 // scale, : 85 // scale] ^ 1 for name, hr in HR.items() for scale in (2, 3, 4)}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Obtain:
    """Three HR images of 85×71 in ``HR``; the function fetches them with the LR images in ``LR``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(image_sets.MIRROR, raising=False)
    for name, pixels in HR.items():
        save(Path(f"HR/{name}.png"), pixels)

    def fetch(role: str = "training") -> list[Entry]:
        folder = Path("fetched/mine")
        folder.mkdir(parents=True)
        return obtain("mine", ImageSet.model_validate({"role": role, "folder": "HR", "lr_folder": "LR"}), folder)

    return fetch


def test_lr_images_in_a_subfolder_per_scale_are_stored_under_the_names_of_hr(get: Obtain) -> None:
    for (name, scale), pixels in LR.items():
        if scale != 3:
            save(Path(f"LR/X{scale}/{name}x{scale}.bmp" if name == "a" else f"LR/X{scale}/{name}.png"), pixels)
    entries = get()
    assert entries == read_manifest(Path("fetched/mine"))
    sources = {entry.file: entry.source for entry in entries if entry.is_lr}
    assert sources == {f"LR/X{s}/a.bmp": f"LR/X{s}/ax{s}.bmp" for s in (2, 4)} | {
        f"LR/X{s}/{name}.png": f"LR/X{s}/{name}.png" for s in (2, 4) for name in ("b", "a.d")
    }
    assert [entry.file for entry in entries if not entry.is_lr] == ["a.d.png", "a.png", "b.png"]
    assert own_lr.scales_of(Path("fetched/mine")) == [2, 4]
    for (name, scale), pixels in LR.items():
        if scale != 3:
            assert np.array_equal(own_lr.read(Path(f"fetched/mine/{name}.png"), scale), pixels)


@pytest.mark.parametrize("suffix", ["", "x{scale}"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_images_of_one_scale_need_no_subfolder(get: Obtain, scale: int, suffix: str) -> None:
    for name in HR:
        save(Path(f"LR/{name}{suffix.format(scale=scale)}.png"), LR[name, scale])
    get()
    assert own_lr.scales_of(Path("fetched/mine")) == [scale]


def fill(*scales: int) -> None:
    for name in HR:
        for scale in scales:
            save(Path(f"LR/X{scale}/{name}.png"), LR[name, scale])


def test_the_training_file_holds_the_own_lr_images_and_no_resized_copies(get: Obtain) -> None:
    fill(2, 3, 4)
    get()
    grey = LR["a.d", 2][..., 0]
    save(Path("fetched/mine/LR/X2/a.d.png"), grey)
    records = list(training_pairs(list_images(Path("fetched/mine")), SPEC, 1))
    assert [(split, name) for split, name, _, _ in records] == [
        ("training", "mine/a.d.png"),
        ("validation", "mine/a.png"),
        ("training", "mine/b.png"),
    ]
    for name, (_, _, hr, lr) in zip(HR, records, strict=True):
        assert np.array_equal(hr, HR[name])
        assert {*lr} == {2, 4}
        assert np.array_equal(lr[4], LR[name, 4])
    assert np.array_equal(records[0][3][2], np.stack([grey] * 3, axis=-1))


def test_a_training_set_needs_lr_images_at_every_scale_that_is_stored(get: Obtain) -> None:
    fill(2, 3)
    get()
    with pytest.raises(UserError, match=r"mine has LR images of its own at ×2, ×3 and none at ×4; put them into X4"):
        list(training_pairs(list_images(Path("fetched/mine")), SPEC, 1))


def test_evaluation_uses_the_own_lr_images_with_the_channels_of_hr(get: Obtain, tmp_path: Path) -> None:
    fill(2)
    save(Path("HR/b.png"), HR["b"][..., 0])
    get()
    files = list_images(Path("fetched/mine"))
    (tmp_path / "pixels").mkdir()
    evaluation = EvaluationImages({"mine": files}, 1, tmp_path / "pixels")
    for _ in range(2):  # made, and read again
        assert np.array_equal(evaluation.load(files[1], 2).lr, LR["a", 2])
        assert evaluation.load(files[1], 2).hr.shape == (70, 84, 3)
        assert evaluation.load(files[2], 2).lr.shape == (35, 42)


def test_an_lr_image_is_no_overlap(get: Obtain, tmp_path: Path) -> None:
    fill(2)
    get()
    refuse_overlap([Path("fetched/mine")], [])
    other = tmp_path / "other"
    other.mkdir()
    save(tmp_path / "photos/small.png", LR["a", 2])
    obtain("other", ImageSet(role="evaluation", folder="photos"), other)
    refuse_overlap([Path("fetched/mine")], [other])


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda: Path("LR/X2/b.png").unlink(), r"the image HR/b\.png has no LR image b in LR/X2; add it"),
        (lambda: save(Path("LR/X2/e.png"), LR["a", 2]), r"the LR image LR/X2/e\.png has no HR image e; remove it"),
        (lambda: save(Path("LR/X2/ax2.png"), LR["a", 2]), r"LR/X2/a\.png and LR/X2/ax2\.png are of one HR image, a;"),
        (lambda: save(Path("LR/X2/a.bmp"), LR["a", 2]), r"LR/X2 has two images of the same name, a\.bmp and a\.png"),
        (
            lambda: save(Path("LR/X2/a.png"), HR["a"][:36, :43]),
            r"LR/X2/a\.png is 43×36, but HR/a\.png of 85×71 pixels, cropped to a multiple of 2, needs 42×35; correct",
        ),
        (lambda: Path("LR/X2/a.png").write_bytes(b"no"), r"^LR/X2/a\.png is not an image"),
        (lambda: Path("LR").rename("SR"), r"the folder LR does not exist"),
        (lambda: Path("LR/X2").rename("LR/half"), r"the LR folder LR holds neither images nor X2, X3 or X4"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_by_name(get: Obtain, change: Callable[[], object], trouble: str) -> None:
    fill(2)
    change()
    with pytest.raises(UserError, match=trouble):
        get()


def test_images_of_no_known_scale_are_refused_with_their_sizes(get: Obtain) -> None:
    save(Path("LR/a.png"), HR["a"])
    with pytest.raises(UserError, match=r"LR/a\.png of 85×71 pixels has not a half, .* of HR/a\.png, 85×71; put"):
        get()
    Path("LR/a.png").rename("LR/other.png")
    Path("fetched/mine").rmdir()
    with pytest.raises(UserError, match=r"no image of LR has the name of an HR image such as a\.d\.png; rename them"):
        get()


def test_a_stored_lr_image_that_is_gone_is_named(get: Obtain) -> None:
    fill(2)
    get()
    Path("fetched/mine/LR/X2/a.png").unlink()
    with pytest.raises(UserError, match=r"LR/X2 has no LR image of a\.png; run the stage fetch@mine"):
        own_lr.read(Path("fetched/mine/a.png"), 2)
    assert read_image(Path("fetched/mine/b.png")).shape == (71, 85, 3)


def test_lr_images_without_their_hr_images_are_refused_in_params() -> None:
    with pytest.raises(ValueError, match="lr_folder needs a folder with the HR images; add `folder:`"):
        ImageSet(role="training", lr_folder="LR")


def test_degraded_images_take_the_place_of_bicubics(get: Obtain, tmp_path: Path) -> None:
    spec = ImageSet.model_validate({"role": "evaluation", "folder": "HR", "degraded": {}})
    hashes = []
    for name in ("web", "again"):
        folder = Path("fetched") / name
        folder.mkdir(parents=True)
        entries = obtain(name, spec, folder)
        assert entries == read_manifest(folder)
        hashes.append({entry.file: entry.sha256_pixels for entry in entries})
    assert hashes[0] == hashes[1], "whatever the name of the set"
    assert [*hashes[0]][:3] == ["a.d.png", "a.png", "b.png"]
    assert {*hashes[0]} == {*[*hashes[0]][:3]} | {f"LR/X{scale}/{name}.png" for name in HR for scale in (2, 3, 4)}
    image = EvaluationImages({"web": list_images(Path("fetched/web"))}, 1, tmp_path).load(Path("fetched/web/a.png"), 3)
    lr, bicubic = image.lr.astype(int), imresize(image.hr, 1 / 3).astype(int)
    assert 1 < np.abs(lr - bicubic).mean() < 40
    (needs,) = needs_of({"new": spec})
    assert needs.lr_scales == (2, 3, 4)


def test_images_of_another_set_have_its_catalogue_and_its_rules(get: Obtain, tmp_path: Path) -> None:
    spec = ImageSet.model_validate({"role": "evaluation", "images_of": "samples_heldout", "degraded": {}})
    folder = tmp_path / "photo"
    folder.mkdir()
    entries = obtain("photo", spec, folder)
    assert {entry.verified for entry in entries} == {"catalogue", "drawn"}
    assert {entry.file for entry in entries if not entry.is_lr} == {*read_catalogue()["samples_heldout"]}
    with pytest.raises(UserError, match="the image set samples_heldout is for evaluation only"):
        obtain("photo", ImageSet(role="training", images_of="samples_heldout"), folder)


def test_keys_that_exclude_each_other_are_refused() -> None:
    both = {"role": "evaluation", "folder": "HR", "lr_folder": "LR", "degraded": {}}
    with pytest.raises(ValueError, match=r"LR images are either degraded or of lr_folder; remove one of the two keys"):
        ImageSet.model_validate(both)
    with pytest.raises(ValueError, match="images are either of folder or of a set of the catalogue"):
        ImageSet(role="evaluation", folder="HR", images_of="Set5")


def test_an_image_that_is_too_small_to_be_degraded_is_named(get: Obtain, tmp_path: Path) -> None:
    save(Path("HR/thin.png"), np.zeros((60, 3, 3), np.uint8))
    with pytest.raises(UserError, match=r"HR/thin\.png is 3×60 pixels, smaller than the scale ×4 of its degraded LR"):
        obtain("web", ImageSet.model_validate({"role": "evaluation", "folder": "HR", "degraded": {}}), tmp_path)
