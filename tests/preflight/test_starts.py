"""Weights to start from are looked for before a run."""

from pathlib import Path

import pytest
import yaml
from shared import ROOT

from pipeline_src import config
from pipeline_src.config import presets
from pipeline_src.config.reading import parse
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.preflight.check import check
from pipeline_src.preflight.starts import check_starts

SYSTEM = "abpn_x3"


def params(start: dict[str, str], key: str = "train") -> config.Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for system in values["systems"].values():
        system["train"].pop("start", None)
        system["downscaler"].pop("start", None)
    values["systems"]["conv_x4" if key == "downscaler" else SYSTEM][key]["start"] = start
    return parse(yaml.safe_dump(values), "params.yaml")


@pytest.mark.parametrize("key", ["train", "downscaler"])
def test_a_start_that_is_missing_or_another_file_is_named(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"systems.{'conv_x4' if key == 'downscaler' else SYSTEM}.{key}.start"
    start = {"file": "net.safetensors", "sha256": "0123456789ab"}
    with pytest.raises(UserError, match=f"net.safetensors, which {name} names, does not exist; .*`superres import`"):
        check(params(start, key))
    Path("net.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError, match=rf"net.safetensors has the SHA-256 \w+…, not {name}.sha256, 0123456789ab"):
        check_starts(params(start, key))
    check_starts(params(start | {"sha256": sha256(Path("net.safetensors"))[:12]}, key))


def test_the_preset_of_published_checkpoints_says_how_to_make_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    monkeypatch.chdir(tmp_path)
    presets.add(["published"])
    with pytest.raises(
        UserError, match=r"^published/carn_m.safetensors, which systems.carn_m.train.start names, does not"
    ):
        check(config.load())
