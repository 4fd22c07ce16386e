"""The whole pipeline of each preset, from a download to the report, at tiny lengths.

Shortened: all numbers of steps, batches, patches and measurements; the systems (one for each net and kind of
downscaler), the scales of nets that are trained from the start (one), the sizes of those nets and of CAR's downscaler,
the pruned nets (one for each pruner), the subnets (one), and the image sets. Of a preset that is layered
over others only what it changes runs: these are tested by themselves. A kind of net that an earlier preset of the list
has taken through all stages does not run again, and the stage operators, the same for all, runs once. A server on this
machine stands in for the archives, which have the names and folders of the real ones and hold crops of scikit-image's
photographs; the list of known sets says so in the copy of the repository that runs. The stages run in DVC's order, each
in a process of its own, but without DVC's cache or Snakemake's scheduling, which test_launchers.py tests.
"""

import io
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from copies import OWN_SETS, Copy, copied
from dvc_stages import stages
from PIL import Image
from shared import photograph

from pipeline_src import config
from pipeline_src.datasets import image_sets
from pipeline_src.datasets.known_sets import EDSR, SETS, SRCNN
from pipeline_src.preflight.work import works

pytestmark = pytest.mark.slow

BSD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"
DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_{}_HR.zip"
ARCHIVES = {  # address: the images in it
    SRCNN: [
        *("SRCNN/Train/t1.bmp", "SRCNN/Train/t2.bmp", "SRCNN/Test/Set5/baby.bmp", "SRCNN/Test/Set14/zebra.bmp"),
        "SRCNN/readme.txt",
    ],
    EDSR: ["benchmark/Urban100/HR/img001.png"],
    BSD: [f"BSR/BSDS500/data/images/{part}/{n}.jpg" for part in ("train", "test", "val") for n in (1, 2)],
    DIV2K.format("train"): [f"DIV2K_train_HR/000{n}.png" for n in (1, 2)],
    DIV2K.format("valid"): ["DIV2K_valid_HR/0801.png"],
}
IN_THE_MIRROR = {"General100": 2, "SunHays80": 2}  # sets without an address: their images
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg")
SMALL_SETS = """

import dataclasses

for _name, _images in {images}.items():
    _archives = tuple(dataclasses.replace(archive, sha256=None) for archive in SETS[_name].archives)
    SETS[_name] = dataclasses.replace(SETS[_name], images=_images, archives=_archives, numbers=None, side=None)
"""
SMALL_NETS = {
    "abpn": {"channels": 8, "depth": 1},
    "edsr": {"channels": 8, "blocks": 2},
    "vdsr": {"channels": 8, "depth": 4},
    "mobile": {"channels": 8, "hr_channels": 4},  # a space of once_for_all
}
SMALL_DOWNSCALERS = {
    "car": {"entry": 4, "features": 8, "head": 8, "blocks": 1},
    "conv": {"channels": 8, "depth": 1},
}
Kind = frozenset[str]
STEPS = {"steps": 2, "batch": 4, "warmup": 0}
SHORT = {
    "build_h5": {"validation_every": 2},
    "train": {"checkpoint_every": 2, "validate_every": 2, "validation_crop": 16, "compile": False},
    "quantize": {"calibration_images": 2, "calibration_crop": 32, "sensitivity_images": 0},
    "benchmark": {
        "warmup": 1,
        "runs": 1,
        "threads": 1,
        "min_seconds": 0.0,
        "max_seconds": 0.01,
        "crops": 1,
        "crop_size": 16,
    },
    "operators": {"size": [8, 12], "channels": 8, "warmup": 1, "runs": 1, "interval": 9.0},
}
SHORT_SEARCH = {
    **{"images": 1, "crop": 16, "samples": 16, "candidates": 60, "promising": 4, "seeds": [1]},
    "latency": {"size": [24, 32], "warmup": 1, "runs": 1, "max_seconds": 0.01, "check": 1},
}


def crop(number: int) -> Image.Image:
    """Return a crop of a photograph that no other number has."""
    x, y = 97 * (number % 5), 13 * (number // 5)
    return Image.fromarray(photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])[y : y + 128, x : x + 136])


def image_file(name: str, number: int) -> bytes:
    file = io.BytesIO()
    crop(number).save(file, {"bmp": "BMP", "png": "PNG", "jpg": "JPEG"}[name.rpartition(".")[2]])
    return file.getvalue()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the archives under <address>/<host>/<path>, and return the address for SR_ARCHIVE_MIRROR."""
    root = tmp_path_factory.mktemp("archives")
    number = 0
    for url, names in ARCHIVES.items():
        path = root / url.partition("://")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {}
        for name in names:
            number += 1
            content[name] = b"not an image" if name.endswith(".txt") else image_file(name, number)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as packed:
                for name, data in content.items():
                    packed.writestr(name, data)
        else:
            with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as packed:
                for name, data in content.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    packed.addfile(entry, io.BytesIO(data))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def images_in_archives(name: str) -> int:
    patterns = {archive.url: archive.members for archive in SETS[name].archives}
    return sum(fnmatchcase(file, patterns[url]) for url in ARCHIVES if url in patterns for file in ARCHIVES[url])


def shortened(params: dict[str, Any], below: dict[str, Any], ran: set[Kind]) -> dict[str, Any]:
    """Return what a preset has to say to make a run short: a preset to be layered over the others.

    Args:
        params: all that the presets say.
        below: the same without the last of the presets; {} if it is the only one.
        ran: kinds of nets that ran with an earlier preset.
    """
    short: dict[str, Any] = {**SHORT, "systems": {}, "prune": {}, "search": {}}
    if "samples" in params["sets"]:
        short["sets"] = OWN_SETS
    kept = one_of_each_kind(params, below, ran)
    for name in params["systems"].keys() - kept:
        short["systems"][name] = None
    for name in kept:
        system = params["systems"][name]
        train, qat = system["train"], short_recipe(system["qat"])
        changes: dict[str, Any] = {"benchmark_size": [24, 32], "qat": qat, "train": short_recipe(train)}
        if train["steps"]:
            changes["train"]["start"] = None
            if system["model"] != "once_for_all":
                changes["scales"] = system["scales"][-1:]
            if train.get("shrink"):
                changes["train"]["shrink"] = [phase | {"steps": 1, "warmup": 0} for phase in train["shrink"]]
            changes["net"] = SMALL_NETS.get(system["net"].get("space", system["model"]), {})
        if train["steps"] and (small := SMALL_DOWNSCALERS.get(system["downscaler"]["model"])):
            changes["downscaler"] = {"net": small, "start": None}
        short["systems"][name] = changes
    for name, prune in params["prune"].items():
        if name not in kept:
            short["prune"][name] = None
            continue
        others = all_but_one(prune["nets"], "pruner")
        short["prune"][name] = {"finetune": short_recipe(prune["finetune"]), "nets": others}
    for name, search in params["search"].items():
        if name not in kept:
            short["search"][name] = None
            continue
        others: dict[str, Any] = dict.fromkeys([*search["nets"]][:-1])
        # Nets this small have latencies that are mostly noise: any share of the largest one's has to do.
        others |= {net: {"share": 1.0} for net, spec in search["nets"].items() if "share" in spec and net not in others}
        short["search"][name] = SHORT_SEARCH | {"finetune": short_recipe(search["finetune"]), "nets": others}
    return short


def one_of_each_kind(params: dict[str, Any], below: dict[str, Any], ran: set[Kind]) -> list[str]:
    """Return the systems to keep, with their baselines: the first of each kind that has not run; add their kinds to it.

    Systems that are the same below the preset are left out, and so are nets of several scales that the preset does not
    train, unless they are searched. If nothing is left, the last system is kept.
    """
    kept: list[str] = []
    last = ""
    for name, system in params["systems"].items():
        left_out = len(system["scales"]) > 1 and not system["train"]["steps"] and name not in params["search"]
        parts = ("systems", "prune", "search")
        if left_out or (below and all(params[part].get(name) == below[part].get(name) for part in parts)):
            continue
        last = name
        if not any(kind(params, name) <= of_another for of_another in ran):
            kept += filter(None, [name, system.get("baseline")])
            ran.update(kind(params, of_kept) for of_kept in kept)
    return [*dict.fromkeys(kept or filter(None, [last, params["systems"][last].get("baseline")]))]


def kind(params: dict[str, Any], name: str) -> Kind:
    """Return what the way of a system through the stages depends on: net, downscaler, and what is made of it."""
    system = params["systems"][name]
    pruners = {net["pruner"] for net in params["prune"].get(name, {"nets": {}})["nets"].values()}
    if not system["train"]["steps"] and not pruners and name not in params["search"]:
        return frozenset({"weights as they are"})
    trained = "trained" if system["train"]["steps"] else "loaded"
    net = {system["model"], system["net"].get("space", "no space")}
    return frozenset({*net, f"LR by {system['downscaler']['model']}", trained, *pruners})


def all_but_one(nets: dict[str, Any], key: str) -> dict[str, None]:
    """Return what a preset says to remove all nets but the last with each value of a key."""
    kept = {spec[key]: net for net, spec in nets.items()}
    return {net: None for net in nets if net not in kept.values()}


def short_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    return STEPS | {"steps": min(recipe["steps"], STEPS["steps"]), "patch": 32 if recipe.get("patch_of") == "hr" else 8}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository whose known sets are those in the archives, and in the folder ``mirror``."""
    copy = copied(tmp_path_factory.mktemp("repository"), tiny=False)
    known = {name: images_in_archives(name) for name in SETS if images_in_archives(name)} | IN_THE_MIRROR
    with (copy.folder / "pipeline_src/datasets/known_sets.py").open("a") as file:
        file.write(SMALL_SETS.format(images=known))
    catalogue = copy.folder / "pipeline_src/datasets/catalogue.csv"
    rows = catalogue.read_text().splitlines(keepends=True)
    catalogue.write_text("".join(row for row in rows if row.partition(",")[0] not in known))
    assert (copy.folder / "pipeline_src/pretrained/abpn_x4.safetensors").is_file()
    number = 40
    for name, images in IN_THE_MIRROR.items():
        folder = copy.folder / "mirror" / name / "HR"
        folder.mkdir(parents=True)
        for _ in range(images):
            number += 1
            (folder / f"im_{number}.png").write_bytes(image_file(".png", number))
    return copy


@pytest.fixture(scope="module")
def ran() -> set[Kind]:
    """The kinds of nets that the tests before have taken through all stages."""
    return set()


@pytest.mark.parametrize(
    "presets",
    [
        ["paper"],
        ["reference"],
        ["pretrained"],
        ["photo"],
        ["reference", "residuals"],
        ["reference", "pretrained", "pruning"],
    ],
    ids="+".join,
)
def test_the_pipeline_of_a_preset_ends_in_a_report(
    archives: str, copy: Copy, ran: set[Kind], presets: list[str]
) -> None:
    environment = {
        "SR_TRACKING": "off",
        "SR_ARCHIVE_MIRROR": archives,
        "SR_DATA_MIRROR": "mirror",
    }
    if "paper" in presets:
        del environment["SR_DATA_MIRROR"]  # all its sets have an address

    for of_verb in (copy.folder / "results").glob("*"):
        if of_verb.name != "operators":
            shutil.rmtree(of_verb)
    shutil.rmtree(copy.folder / image_sets.DOWNLOADS, ignore_errors=True)
    copy.superres("preset", "remove", "--all")
    params: dict[str, Any] = {}
    for name in presets:
        below = params
        copy.superres("preset", "add", name)
        params = yaml.safe_load((copy.folder / "params.yaml").read_text())
    copy.layer(yaml.safe_dump(shortened(params, below, ran), sort_keys=False))
    said = copy.superres("preset", "check", **environment)
    assert ("to download: " in said) == (presets not in (["pretrained"], ["photo"]))

    resolved = stages(copy.folder, compare=False)
    for stage in resolved:
        verb, _, item = stage.name.partition("@")
        if verb != "operators" or not (copy.folder / "results/operators").exists():
            copy.forked(f"pipeline_src.stages.{verb}", *filter(None, [item]), **environment)

    missing = [out for stage in resolved for out in stage.files + stage.folders if not (copy.folder / out).exists()]
    assert missing == []
    measured = json.loads((copy.folder / "results/report/metrics.json").read_text())
    loaded = config.load(copy.folder / "params.yaml")
    assert set(measured) == set(loaded.nets())
    assert {work.steps for work in works(loaded)} <= {0, 1, 2}
