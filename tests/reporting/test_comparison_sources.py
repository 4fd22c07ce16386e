"""Measurements of a revision, of a folder and of a run of MLflow; a real repository with two states."""

import shutil
from pathlib import Path

import pytest
from made_states import compared, found, git, image_rows, repository_of_two_states, write_state

from pipeline_src.errors import UserError
from pipeline_src.reporting.comparison import measurements, sources
from pipeline_src.reporting.comparison.changes import WORSE

PAIR = [("qat", "tflite", "psnr_y")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two states, ``v1`` and the worse ``main``, whose results DVC has in its cache; no results."""
    return repository_of_two_states(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def inside(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository that a test may change, as the working folder."""
    copy = shutil.copytree(repository, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(copy)
    return copy


def names(root: Path) -> dict[Path, int]:
    """Return when each file outside of git's and DVC's folders was written."""
    found = (path for path in root.rglob("*") if not {".git", ".dvc"} & {*path.relative_to(root).parts})
    return {path: path.stat().st_mtime_ns for path in found}


def test_two_revisions_are_compared_without_touching_the_working_tree(inside: Path) -> None:
    before, status = names(inside), git(inside, "status", "--porcelain")
    comparison = compared(Path("v1"), Path("main"))
    assert [found(comparison, WORSE), len(comparison.of(WORSE))] == [PAIR * 2, 2]
    assert {change.file.system for change in comparison.of(WORSE)} == {"abpn_x3", "abpn_x3/l1_50"}
    commit = git(inside, "rev-parse", "--short=7", "v1").strip()
    assert comparison.base.name == f"v1 ({commit})"
    assert (names(inside), git(inside, "status", "--porcelain")) == (before, status)
    assert not (inside / "results").exists()
    assert measurements.read(commit).name == commit


def test_a_revision_and_the_results_in_the_working_tree(inside: Path) -> None:
    write_state(Path(), images=image_rows(qat=-0.05))
    for here in ("workspace", ".", "results", "results/benchmark", str(inside)):
        comparison = compared(Path("v1"), Path(here))
        assert found(comparison, WORSE) == PAIR
        assert {file.system for file in comparison.gone} == {"abpn_x3/l1_50"}


def test_results_from_a_remote(inside: Path, tmp_path: Path) -> None:
    shutil.move(inside / ".dvc/cache", tmp_path / "remote")
    with pytest.raises(
        UserError, match=r"results of v1 are neither in DVC's cache here nor in a remote; run `dvc fetch`"
    ):
        measurements.read("v1")
    (inside / ".dvc/config.local").write_text(
        f"[core]\n    remote = there\n['remote \"there\"']\n    url = {tmp_path / 'remote'}\n"
    )
    assert len(measurements.read("v1").files) == 6


def test_a_remote_that_cannot_be_read_is_told_with_the_reason(inside: Path) -> None:
    shutil.rmtree(inside / ".dvc/cache")
    (inside / ".dvc/config.local").write_text(
        "[core]\n    remote = there\n['remote \"there\"']\n    url = gs://bucket/results\n"
    )
    reason = "gs is supported, but requires 'dvc-gs' to be installed"
    with pytest.raises(UserError, match=rf"neither in DVC's cache here nor in a remote \({reason}\); run `dvc fetch`"):
        measurements.read("v1")


def test_a_cache_that_lacks_one_file_is_told(inside: Path) -> None:
    for file in (inside / ".dvc/cache").rglob("*"):
        if file.is_file() and file.read_bytes().startswith(b"variant,runtime"):
            file.unlink()
    with pytest.raises(UserError, match="neither in DVC's cache here nor in a remote"):
        measurements.read("v1")


def test_a_revision_before_the_first_results(inside: Path) -> None:
    git(inside, "checkout", "--quiet", "--orphan", "empty")
    git(inside, "rm", "--quiet", "-r", "--force", "dvc.yaml", "dvc.lock", "made")
    git(inside, "commit", "--quiet", "-m", "no results")
    with pytest.raises(UserError, match="empty has no results/benchmark"):
        measurements.read("empty")


@pytest.mark.parametrize("name", ["nothing", "--help", "a" * 31, "HEAD~99", "results"])
def test_a_name_that_is_no_state_is_told(inside: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is neither a folder, nor a revision of git here, nor the id of a run"):
        measurements.read(name)


def test_a_folder_without_results_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("workspace", "."):
        with pytest.raises(UserError, match=r"holds no results/benchmark/<system>/benchmark\.csv; run `make report`"):
            measurements.read(name)


def test_a_system_that_was_taken_out_of_params_does_not_count(inside: Path) -> None:
    write_state(Path())
    write_state(Path(), "gone_x3")
    shutil.copy(Path(__file__).parents[2] / "params.yaml", "params.yaml")
    assert {*measurements.read("workspace").files["system"]} == {"abpn_x3"}
    assert {*measurements.read("results").files["system"]} == {"abpn_x3", "gone_x3"}


def test_a_damaged_table_is_told_by_the_name_of_its_state(inside: Path) -> None:
    with sources.opened("v1") as source:
        shutil.copytree(source.folder, "elsewhere")
    table = Path("elsewhere/abpn_x3/images.csv")
    table.write_text(table.read_text().replace("Set5_1", "Set5_0"))
    with pytest.raises(UserError, match=r"elsewhere/abpn_x3/images\.csv is damaged: line \d+ is there twice; run"):
        measurements.read("elsewhere")


def test_a_table_of_images_that_lacks_a_row_is_told(tmp_path: Path) -> None:
    table = write_state(tmp_path) / "results/benchmark/abpn_x3/images.csv"
    head, _, *rest = table.read_text().splitlines(keepends=True)
    table.write_text(head + "".join(rest))
    with pytest.raises(UserError, match=r"has 4 rows of bicubic  ×3 on Set5, and benchmark\.csv counts 5; run"):
        measurements.read(str(tmp_path))


def test_tables_of_older_revisions_lack_columns(tmp_path: Path) -> None:
    write_state(tmp_path)
    folder = tmp_path / "results/benchmark/abpn_x3"
    rows = [line.split(",") for line in (folder / "benchmark.csv").read_text().splitlines()]
    older = [place for place, name in enumerate(rows[0]) if name not in ("settled", "p50_low_ms", "disagrees", "fails")]
    (folder / "benchmark.csv").write_text("".join(",".join(row[place] for place in older) + "\n" for row in rows))
    for name in ("images.csv", "machine.json"):
        (folder / name).unlink()
    comparison = compared(tmp_path, tmp_path)
    reasons = {change.figure: change.reason for change in comparison.changes}
    unknown = dict.fromkeys(("p50_ms", "peak_memory_mb"), "the machine is not recorded")
    assert reasons == {"psnr_y": "no images.csv", "file_bytes": ""} | unknown
