"""Where each set will come from, asked of a real server before anything is downloaded."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import ROOT, link_starts

from pipeline_src import config
from pipeline_src.config import ImageSet
from pipeline_src.datasets import image_sets
from pipeline_src.datasets.known_sets import EDSR, SRCNN
from pipeline_src.datasets.manifests import Entry, write_manifest
from pipeline_src.errors import UserError
from pipeline_src.preflight.check import check
from pipeline_src.preflight.image_sets import SetNeeds, needs_of

NOWHERE = "http://127.0.0.1:9"  # the port "discard", at which nothing listens
EVALUATION, TRAINING = ImageSet(role="evaluation"), ImageSet(role="training")
SIZE = 123_456_789


class Server(ThreadingHTTPServer):
    """Has files of ``SIZE`` bytes at the paths of ``has``; notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.has: set[str] = set()
        self.moved: dict[str, str] = {}
        self.refuses_head = False
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if self.server.refuses_head:
            return self.send_error(405)
        return self.answer(200, SIZE)

    def do_GET(self) -> None:
        assert self.headers["Range"] == "bytes=0-0"
        if self.answer(206, 1):
            self.wfile.write(b"P")

    def answer(self, status: int, length: int) -> bool:
        self.server.asked.append(f"{self.command} {self.path}")
        if target := self.server.moved.get(self.path):
            self.send_response(302)
            self.send_header("Location", target)
        elif self.path in self.server.has:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            if status == 206:
                self.send_header("Content-Range", f"bytes 0-0/{SIZE}")
            self.end_headers()
            return True
        else:
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The archive mirror, which has nothing yet; the working folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(image_sets.MIRROR, raising=False)
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv(image_sets.ARCHIVE_MIRROR, running.url)
        yield running
        running.shutdown()


def path_of(url: str) -> str:
    return f"/{url.partition('://')[2]}"


def picture(path: Path, width: int = 30, height: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
    return path


def test_an_address_that_answers_says_the_size_of_its_archive(server: Server) -> None:
    server.has = {path_of(SRCNN)}
    (t91,) = needs_of({"T91": TRAINING})
    assert t91.download
    assert (t91.download.url, t91.download.size) == (f"{server.url}{path_of(SRCNN)}", SIZE)
    assert t91.pixels > 91 * 100 * 100  # of the catalogue
    assert server.asked == [f"HEAD {path_of(SRCNN)}"]


def test_a_server_without_head_is_asked_for_one_byte(server: Server) -> None:
    server.has, server.refuses_head = {path_of(SRCNN)}, True
    (t91,) = needs_of({"T91": TRAINING})
    assert t91.download
    assert t91.download.size == SIZE


def test_redirections_are_followed_and_an_archive_is_asked_for_once(server: Server) -> None:
    server.has, server.moved = {"/elsewhere.zip"}, {path_of(SRCNN): "/elsewhere.zip"}
    sets = {"T91": TRAINING, "Set5": EVALUATION, "Set14": EVALUATION}
    assert {need.download.size for need in needs_of(sets) if need.download} == {SIZE}
    assert server.asked.count(f"HEAD {path_of(SRCNN)}") == 1


def test_the_second_address_counts_if_the_first_is_gone(server: Server) -> None:
    server.has = {path_of(EDSR)}
    (set5,) = needs_of({"Set5": EVALUATION})
    assert set5.download
    assert set5.download.url.endswith("/benchmark.tar")


def test_what_was_received_before_is_not_needed_again(server: Server) -> None:
    server.has = {path_of(SRCNN)}
    kept = image_sets.download_path(f"{server.url}{path_of(SRCNN)}")
    kept.parent.mkdir(parents=True)
    kept.with_name(f"{kept.name}.part").write_bytes(bytes(1000))
    (t91,) = needs_of({"T91": TRAINING})
    assert t91.download
    assert t91.download.size == SIZE - 1000


def test_sets_that_cannot_be_had_are_one_sentence(server: Server) -> None:
    server.has = {path_of(SRCNN)}
    with pytest.raises(
        UserError,
        match=r"^the image set General100 \(.*\) is not available and has no permanent address to download it from; "
        r"put its 100 HR images into General100/HR .*SR_DATA_MIRROR.*, or remove the set there; Urban100 cannot be had "
        r"either$",
    ):
        needs_of({"T91": TRAINING, "General100": TRAINING, "Urban100": EVALUATION})
    with pytest.raises(
        UserError, match=r"Urban100 .*; no address answers: .*benchmark\.tar .*answers 404 Not Found\)$"
    ):
        needs_of({"T91": TRAINING, "Urban100": EVALUATION})


def test_without_a_network_everything_that_is_here_is_enough(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In results/, in the folder of SR_DATA_MIRROR, in the user's own folder, and in scikit-image."""
    monkeypatch.setenv(image_sets.ARCHIVE_MIRROR, NOWHERE)
    monkeypatch.setenv(image_sets.MIRROR, str(tmp_path / "mirror"))
    picture(tmp_path / "mirror/General100/HR/im_001.png")
    picture(tmp_path / "photos/0.png", 50, 40)
    fetched = picture(tmp_path / "results/fetch/evaluation/Set5/baby.png", 60, 50)
    write_manifest(fetched.parent, [Entry("baby.png", 60, 50, "RGB", "0", "somewhere", "catalogue")])
    sets = {
        "samples": TRAINING,
        "General100": TRAINING,
        "holiday": ImageSet(role="evaluation", folder="photos"),
        "Set5": EVALUATION,
    }
    needs = {need.name: need for need in needs_of(sets)}
    assert [need.download for need in needs.values()] == [None] * 4
    assert (needs["Set5"].pixels, needs["Set5"].size) == (60 * 50, 0)
    assert (needs["holiday"].pixels, needs["holiday"].size) == (50 * 40, (tmp_path / "photos/0.png").stat().st_size)

    fetched.unlink()  # a set that is not whole is fetched again
    with pytest.raises(
        UserError, match=r"Set5 .*no address answers: .*cannot be reached \(the server cannot be reached\)"
    ):
        needs_of(sets)


def test_an_empty_folder_and_a_misused_set_are_said_before_anything_runs(server: Server, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="photos holds no images of holiday"):
        needs_of({"holiday": ImageSet(role="training", folder="photos")})
    with pytest.raises(UserError, match="Set5 is for evaluation only"):
        needs_of({"Set5": TRAINING})


def test_an_archive_mirror_that_is_no_address_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(image_sets.ARCHIVE_MIRROR, "/srv/archives")
    with pytest.raises(UserError, match=r"SR_ARCHIVE_MIRROR is /srv/archives, which does not begin with http://"):
        needs_of({"T91": TRAINING})


def test_lr_images_of_the_users_own_are_found_and_weighed_before_they_are_fetched(server: Server) -> None:
    pairs = ImageSet(role="training", folder="photos", lr_folder="small")
    files = [
        picture(Path("photos/a.png")),
        picture(Path("small/X2/a.png"), 15, 10),
        picture(Path("small/X4/a.png"), 7, 5),
    ]
    (needs,) = needs_of({"pairs": pairs})
    assert (needs.pixels, needs.size) == (600, sum(file.stat().st_size for file in files))
    assert needs.lr_scales == [2, 4]
    folder = Path("results/fetch/training/pairs")
    folder.mkdir(parents=True)
    image_sets.obtain("pairs", pairs, folder)
    assert needs_of({"pairs": pairs}) == [SetNeeds("pairs", "training", 600, lr_scales=[2, 4])]
    files[1].unlink()
    (folder / "LR/X2/a.png").unlink()
    with pytest.raises(UserError, match=r"the image photos/a\.png has no LR image a in small/X2"):
        needs_of({"pairs": pairs})


@pytest.mark.parametrize(("role", "missing"), [("training", 3), ("evaluation", 4)])
def test_a_scale_without_lr_images_is_said_before_anything_runs(server: Server, role: str, missing: int) -> None:
    picture(Path("photos/a.png"))
    for scale in {2, 3, 4} - {missing}:
        picture(Path(f"small/X{scale}/a.png"), 30 // scale, 20 // scale)
    pairs = ImageSet.model_validate({"role": role, "folder": "photos", "lr_folder": "small"})
    params = config.load(ROOT / "params.yaml").model_copy(update={"sets": {"pairs": pairs}})
    link_starts(Path.cwd())
    with pytest.raises(UserError, match=rf"the image set pairs has LR images of its own at .* and none at ×{missing};"):
        check(params)
