"""Results through a DVC remote: a folder, an SSH server and an S3 server on the loopback, and clones in other folders.

Each has the commands of docs/scaling.md, with the names there replaced by those of the test.
"""

import getpass
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import loopback
import pytest
import s3_server
from copies import Copy, cloned, copied_again
from shared import ROOT, photograph

BEFORE, AFTER = "calibration_images: 2", "calibration_images: 3"
AFFECTED = {"quantize@abpn_x3", "export@abpn_x3", "benchmark@abpn_x3"}
NOTHING = "Data and pipelines are up to date."
ONE_ATTEMPT = {"AWS_MAX_ATTEMPTS": "1"}  # of a request
WITHOUT_KEYS = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}


@dataclass(frozen=True)
class Remote:
    """A remote.

    Attributes:
        commands: that name it to DVC.
        environment: of a command that uses it.
    """

    commands: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def documented(title: str, **names: str) -> list[str]:
    """Return the commands under a heading of docs/scaling.md, with its names of hosts and folders replaced."""
    text = (ROOT / "docs/scaling.md").read_text().split(f"### {title}\n")[1].split("\n#")[0]
    commands = re.findall(r"(?m)^    (dvc remote .*?)(?:\s+#.*)?$", text)
    assert commands
    for name, replacement in names.items():
        assert any(name in command for command in commands), name
        commands = [command.replace(name, replacement) for command in commands]
    return commands


@pytest.fixture(scope="session")
def two_branches(first_run: Copy, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A repository whose branches ``main`` and ``other`` differ in one param, and have both been run."""
    copy = copied_again(first_run, tmp_path_factory.mktemp("branches") / "copy")
    copy.ran("git", "branch", "-m", "main")
    copy.commit()
    copy.ran("git", "checkout", "--quiet", "-b", "other")
    change_param(copy)
    copy.ran("dvc", "repro", SR_TRACKING="off")
    copy.commit()
    copy.ran("git", "checkout", "--quiet", "main")
    copy.ran("dvc", "checkout")
    assert copy.ran("dvc", "status").strip() == NOTHING
    return copy


def change_param(copy: Copy) -> None:
    params = copy.folder / "params.yaml"
    assert params.read_text().count(BEFORE) == 1
    params.write_text(params.read_text().replace(BEFORE, AFTER))


@pytest.fixture(scope="module")
def folder_remote(tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return Remote(documented("A folder", **{"/mnt/team/superres": str(tmp_path_factory.mktemp("remote"))}))


@pytest.fixture(scope="module")
def ssh_remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed: make scaling")
    if loopback.SSHD is None:
        pytest.skip("no SSH server is installed (on Debian: apt install openssh-server)")
    folder = tmp_path_factory.mktemp("ssh")
    (folder / "store").mkdir()
    with loopback.started(folder / "server", Path("python3"), folder / "temporary") as server:
        names = {
            "anna@storage.example": f"{getpass.getuser()}@127.0.0.1:{server.port}",
            "/srv/superres": f"{folder}/store",
            "~/.ssh/id_ed25519": f"{folder}/server/user",
        }
        yield Remote(documented("SSH", **names))


@pytest.fixture(scope="module")
def s3_remote(s3: s3_server.Store) -> Remote:
    names = {"team-bucket": s3_server.BUCKET, "https://s3.example": s3.url}
    return Remote(documented("S3 and stores that speak its protocol", **names), s3_server.KEYS)


@pytest.fixture(scope="module", params=["folder", "ssh", "s3"])
def remote(request: pytest.FixtureRequest) -> Remote:
    return request.getfixturevalue(f"{request.param}_remote")


@pytest.fixture(scope="module")
def pushed(remote: Remote, two_branches: Copy, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The repository with the remote in both branches, the results of both pushed."""
    copy = copied_again(two_branches, tmp_path_factory.mktemp("pushed") / "copy")
    named(copy, remote)
    settings = (copy.folder / ".dvc/config").read_text()
    for branch in ("main", "other"):
        copy.ran("git", "checkout", "--quiet", "--force", branch)
        (copy.folder / ".dvc/config").write_text(settings)
        copy.ran("dvc", "checkout")
        copy.commit()
        copy.ran("dvc", "push", "--run-cache", **remote.environment)
    copy.ran("git", "checkout", "--quiet", "main")
    copy.ran("dvc", "checkout")
    return copy


def named(copy: Copy, remote: Remote) -> None:
    for command in remote.commands:
        copy.ran("bash", "-c", command)


def local_settings(copy: Copy, remote: Remote) -> None:
    """Give a clone what git does not carry: the settings that are for one machine."""
    for command in remote.commands:
        if "--local" in command:
            copy.ran("bash", "-c", command)


def fresh(origin: Copy, remote: Remote, folder: Path) -> Copy:
    """Return a clone without results, whose cache is its own."""
    clone = cloned(origin, folder)
    local_settings(clone, remote)
    assert not (clone.folder / ".dvc/cache").exists()
    return clone


def upscaled(copy: Copy, folder: Path) -> bytes:
    from PIL import Image

    Image.fromarray(photograph("coffee.png")[:40, :60]).save(folder / "photo.png")
    copy.superres("upscale", str(folder / "photo.png"), "--model", "abpn_x3", "-o", str(folder / "sr.png"))
    return (folder / "sr.png").read_bytes()


def test_a_clone_pulls_all_results_and_nothing_is_left_to_do(pushed: Copy, remote: Remote, tmp_path: Path) -> None:
    clone = fresh(pushed, remote, tmp_path / "clone")
    clone.ran("dvc", "pull", **remote.environment)
    assert clone.ran("dvc", "status").strip() == NOTHING
    assert "Nothing to be done" in clone.ran("snakemake", "-n", "report")
    clone.assert_nothing_to_do()
    assert clone.ran("git", "status", "--porcelain") == ""
    assert upscaled(clone, tmp_path) == upscaled(pushed, tmp_path)


def test_params_that_another_branch_has_run_are_not_run_again(pushed: Copy, remote: Remote, tmp_path: Path) -> None:
    clone = fresh(pushed, remote, tmp_path / "clone")
    clone.ran("dvc", "pull", **remote.environment)
    change_param(clone)
    said = clone.ran("dvc", "repro", "--pull", SR_TRACKING="off", **remote.environment)
    assert set(re.findall(r"Stage '([^']+)' is cached", said)) == AFFECTED
    assert re.findall(r"Running stage '([^']+)'", said) == ["report"]  # git has its files, and not the remote
    clone.assert_nothing_to_do()


def test_a_branch_that_has_been_run_has_nothing_to_do(pushed: Copy, remote: Remote, tmp_path: Path) -> None:
    clone = fresh(pushed, remote, tmp_path / "clone")
    clone.ran("git", "checkout", "--quiet", "other")
    clone.ran("dvc", "pull", **remote.environment)
    clone.assert_nothing_to_do()


def test_latencies_that_were_pulled_are_those_of_their_machine(
    two_branches: Copy, folder_remote: Remote, tmp_path: Path
) -> None:
    origin = copied_again(two_branches, tmp_path / "origin")
    for file in (origin.folder / "results/benchmark").rglob("machine.json"):  # as measured elsewhere
        facts = json.loads(file.read_bytes()) | {"cpu": "Elsewhere CPU 9000"}
        file.write_text(json.dumps(facts))
    origin.ran("dvc", "commit", "--force", "benchmark@abpn_x3")
    origin.ran("dvc", "repro", SR_TRACKING="off")
    named(origin, folder_remote)
    origin.commit()
    origin.ran("dvc", "push")
    clone = fresh(origin, folder_remote, tmp_path / "clone")
    clone.ran("dvc", "pull")
    page = clone.folder / "results/report/index.html"
    assert "speed on Elsewhere CPU 9000" in page.read_text()
    listed = clone.superres("models")
    assert "p50 of abpn_x3, abpn_x3/l1_50: on Elsewhere CPU 9000" in listed
    (advice,) = re.findall(r"to measure here: (.*)", listed)
    clone.ran(*advice.split(), SR_TRACKING="off")
    assert "Elsewhere CPU 9000" not in clone.superres("models")
    assert "another CPU" not in clone.superres("models")
    clone.ran("dvc", "repro", SR_TRACKING="off")
    assert "Elsewhere CPU 9000" not in page.read_text()
    clone.assert_nothing_to_do()


def failed(run: Callable[..., str], *command: str, **environment: str) -> str:
    """Return what a command prints that does not end well."""
    with pytest.raises(AssertionError) as error:
        run(*command, **environment)
    return str(error.value)


FAULTS = {  # what is wrong with the S3 remote, and what DVC says, as docs/scaling.md has it
    "no keys": ([], WITHOUT_KEYS, "Unable to locate credentials"),
    "no bucket": (["url=s3://nothing/superres"], s3_server.KEYS, "The specified bucket does not exist"),
    "no server": (
        ["endpointurl=http://127.0.0.1:1"],
        s3_server.KEYS | ONE_ATTEMPT,
        "Could not connect to the endpoint URL",
    ),
    "no plugin": (["url=gs://team-bucket/superres"], {}, "gs is supported, but requires 'dvc-gs' to be installed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_remote_that_cannot_be_used_is_told(first_run: Copy, s3_remote: Remote, tmp_path: Path, fault: str) -> None:
    settings, environment, reason = FAULTS[fault]
    copy = cloned(first_run, tmp_path / "clone")
    shutil.copy(first_run.folder / "dvc.lock", copy.folder)
    named(copy, s3_remote)
    if fault == "no plugin":  # whose settings have no endpointurl
        (copy.folder / ".dvc/config").write_text("[core]\n    remote = storage\n['remote \"storage\"']\n")
    copy.commit()
    for setting in settings:
        copy.ran("dvc", "remote", "modify", "--local", "storage", *setting.split("=", 1))
    assert reason in failed(copy.ran, "dvc", "pull", **environment)
    assert reason in (ROOT / "docs/scaling.md").read_text()
    said = failed(copy.superres, "compare", "HEAD", "workspace", **environment)
    sentence = said.splitlines()[-1]
    assert sentence.startswith("error: the results of HEAD are neither in DVC's cache here nor in a remote")
    assert reason in sentence or fault == "no bucket", "to DVC that is a store without the file"


def test_without_a_remote_dvc_says_so(first_run: Copy, tmp_path: Path) -> None:
    copy = copied_again(first_run, tmp_path / "copy")
    assert "no remote specified" in failed(copy.ran, "dvc", "push")
