"""The nets that params.yaml names, and their scales."""

import re
from pathlib import Path

import pytest
import yaml
from shared import ROOT

from pipeline_src import config, paths
from pipeline_src.errors import UserError


def test_the_nets_of_a_once_for_all_system_are_its_subnets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = config.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"results/nets/ofa_sr/weights\.safetensors does not exist; run the stage train"
    ):
        paths.nets("ofa_sr")
    paths.weights("ofa_sr").parent.mkdir(parents=True)
    paths.weights("ofa_sr").touch()
    folder = paths.smaller_nets("search", "ofa_sr") / "nets"
    folder.mkdir(parents=True)
    for name in ("half", "fast"):
        (folder / f"{name}.safetensors").touch()
        assert paths.nets("ofa_sr")[f"ofa_sr/{name}"] == folder / f"{name}.safetensors"
    assert list(paths.nets("ofa_sr")) == ["ofa_sr/fast", "ofa_sr/half"]
    assert [net for net in params.nets() if net.startswith("ofa_sr")] == ["ofa_sr/half"]
    assert params.scales_of("ofa_sr/half") == [4]
    assert params.scales_of("carn_m") == params.system("carn_m").scales
    for net in ("ofa_sr", "ofa_sr/quarter"):
        with pytest.raises(UserError, match=f"{net} is not a net of ofa_sr; name ofa_sr/half"):
            params.scales_of(net)


def test_the_nets_of_another_system_are_itself_and_its_pruned_nets() -> None:
    params = config.load(ROOT / "params.yaml")
    assert params.nets_of("abpn_x3") == ["abpn_x3", "abpn_x3/l1_50"]
    assert params.scales_of("abpn_x3/l1_50") == [3]
    assert params.nets_of("carn_m") == ["carn_m"]
    with pytest.raises(UserError, match="abpn_x3/l1_51 is not a net of abpn_x3; name abpn_x3, abpn_x3/l1_50"):
        params.scales_of("abpn_x3/l1_51")


def test_the_example_of_a_search_for_numbers_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(tune:\n.*?)```", (ROOT / "docs" / "training.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("tune: {}", example[1]))
    assert config.load(tmp_path / "params.yaml").tune["carn_m"].space["lr"].loguniform == [1e-4, 1e-2]


def test_every_system_has_the_keys_that_dvc_names() -> None:
    """DVC fails on a key that is missing, and knows nothing of the defaults of the schema."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert {"devices", "prune", "search", "tune"} <= set(params)
    for system in params["systems"].values():
        assert {"model", "scales", "net", "downscaler", "benchmark_size", "train", "qat"} <= set(system)


@pytest.mark.parametrize(("system", "net"), [("abpn_x3", "abpn_x3/l1_50"), ("ofa_sr", "ofa_sr/half")])
def test_a_net_of_params_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, net: str
) -> None:
    names = config.load(ROOT / "params.yaml").nets_of(system)
    maker = "prune" if system in names else "search"
    monkeypatch.chdir(tmp_path)
    paths.weights(system).parent.mkdir(parents=True)
    paths.weights(system).touch()
    with pytest.raises(UserError, match=rf"{maker}/nets/\w+\.safetensors does not exist; run `python -m pipeline_src"):
        paths.all_nets(system, names)
    file = paths.smaller_nets(maker, system) / "nets" / f"{net.partition('/')[2]}.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    assert [*paths.all_nets(system, names)] == names
