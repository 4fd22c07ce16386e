"""The command ``superres import``, run as a user runs it, from any folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import published_nets as published
import pytest
import torch
import yaml
from shared import ROOT

from pipeline_src import config
from pipeline_src.cli.main import main
from pipeline_src.config.reading import parse
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.models import build
from pipeline_src.starts import load_into
from pipeline_src.weights import load_net

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in a folder with a checkpoint of CARN-M; returns what it prints, to stderr if it fails."""
    torch.manual_seed(0)
    torch.save({"state_dict": published.carn(True, [2, 3, 4]).state_dict()}, tmp_path / "carn_m.pth")
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as end:
            main(["import", *arguments])
        captured = capsys.readouterr()
        assert end.value.code == status, captured.err
        return captured.err if status else captured.out

    return command


def test_the_printed_lines_start_a_system_from_the_weights(run: Run) -> None:
    shutil.copy(ROOT / "params.yaml", ".")
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["systems"]["carn_m"]["scales"] = [4]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    said = run("carn_m.pth", "--as", "carn_m", "-o", "published/")
    file = Path("published/carn_m.safetensors")
    assert said.startswith(f"{file}: carn_m of params.yaml ×2 ×3 ×4, 414,811 parameters, of carn_m.pth\n")
    printed = yaml.safe_load(said.partition("in params.yaml:\n")[2])
    assert printed["systems"]["carn_m"].keys() == {"scales", "train"}
    params["systems"]["carn_m"] |= {"scales": printed["systems"]["carn_m"]["scales"]}
    params["systems"]["carn_m"]["train"] |= printed["systems"]["carn_m"]["train"]
    system = parse(yaml.safe_dump(params), "params.yaml").system("carn_m")
    assert system.train.start
    assert system.train.start.sha256 == sha256(file)[:12]
    net = build(system.model, system.scales, system.net)
    load_into(net, system.train.start)
    kept, metadata = load_net(file, [2, 3, 4])
    assert all(torch.equal(tensor, kept.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert metadata["imported"] == sha256(Path("carn_m.pth"))


def test_without_params_a_published_net_is_described_whole(run: Run) -> None:
    said = run("carn_m.pth", "--as", "carn_m", "--scales", "4")
    assert said.startswith("carn_m.safetensors: the published carn_m ×4, 294,171 parameters, of carn_m.pth\n")
    system = yaml.safe_load(said.partition("in params.yaml:\n")[2])["systems"]["carn_m"]
    assert system | {"train": ""} == {"model": "carn", "net": {"mobile": True, "groups": 4}, "scales": [4], "train": ""}
    assert load_net(Path("carn_m.safetensors"), [4])[0].description.scales == (4,)


def test_a_downscaler_is_a_start_of_the_downscaler(run: Run) -> None:
    small = {"entry": 4, "features": 8, "head": 8, "blocks": 1}
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    car = yaml.safe_load((ROOT / "workflow/presets/large.yaml").read_text())["systems"]["car_x4"]
    params["systems"]["car_x4"] = car | {"downscaler": {"model": "car", "net": small}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    torch.save(published.KernelGenerator(4, **small).state_dict(), "kgn.pth")
    said = run("kgn.pth", "--as", "car_x4", "-o", "a folder/k's.safetensors")
    printed = yaml.safe_load(said.partition("in params.yaml:\n")[2])["systems"]["car_x4"]["downscaler"]
    assert (printed["model"], printed["net"], printed["start"]["file"]) == ("car", small, "a folder/k's.safetensors")
    params["systems"]["car_x4"]["downscaler"] |= printed
    assert parse(yaml.safe_dump(params), "params.yaml").system("car_x4").downscaler.start


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("missing.pth", "--as", "carn"), "error: missing.pth does not exist; give the file of a checkpoint"),
        (("carn_m.pth", "--as", "nothing"), "error: --as names 'nothing', which is neither a system of params.yaml"),
        (("carn_m.pth", "--as", "ecdn"), "error: carn_m.pth does not fit the published ecdn: it lacks b1.0.bn.weight"),
        (("carn_m.pth", "--as", "carn_m", "-o", "x.pth"), "error: -o is x.pth, but weights are written as safetensors"),
        (("carn_m.pth", "--as", "carn_m", "-o", "carn_m.pth/x.safetensors"), "error: carn_m.pth/x.safetensors cannot"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], sentence: str, run: Run) -> None:
    said = run(*arguments, status=1)
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def test_nothing_is_written_over_unasked(run: Run) -> None:
    run("carn_m.pth", "--as", "carn_m")
    assert "carn_m.safetensors exists; name the file to write by -o" in run("carn_m.pth", "--as", "carn_m", status=1)
    run("carn_m.pth", "--as", "carn_m", "-o", "carn_m.safetensors")
    own = run("carn_m.safetensors", "--as", "carn_m", "-o", "carn_m.safetensors", status=1)
    assert own.startswith("error: carn_m.safetensors is the checkpoint itself; name another file by -o")


def test_what_is_not_imported_is_refused_as_a_start_by_name(run: Run) -> None:
    net = build("carn", [4], {"mobile": True, "groups": 4})

    def refused(name: str) -> str:
        with pytest.raises(UserError) as refusal:
            load_into(net, config.PinnedFile(file=name, sha256=sha256(Path(name))[:12]))
        return str(refusal.value)

    with_prefix = {f"module.{key}": tensor for key, tensor in net.state_dict().items()}
    torch.save(with_prefix, "legacy.pth", _use_new_zipfile_serialization=False)
    for name in ("carn_m.pth", "legacy.pth"):
        assert refused(name).startswith(
            f"{name} is a pickle, which can run any code when it is read, and weights are read"
        )
        assert f"`superres import {name} --as SYSTEM -o weights.safetensors`" in refused(name)
    Path("net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert refused("net.h5").startswith(
        "net.h5 is an HDF5 file, as Keras writes it, and weights are read from safetensors"
    )
    from safetensors.torch import save_file

    save_file(with_prefix, "prefix.safetensors")
    assert refused("prefix.safetensors").startswith("all names in prefix.safetensors begin with module., because")
    Path("broken.safetensors").write_bytes(b"nothing of the kind")
    assert refused("broken.safetensors").startswith("broken.safetensors is corrupt")
