"""Pruning: a pruned net computes what the unpruned one computes with the same filters at 0."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from small_net import NETS, prepared, trained
from small_net import images as photographs
from torch import Tensor, nn

from pipeline_src import models
from pipeline_src.compression import pruning
from pipeline_src.compression.calibration import calibrate
from pipeline_src.compression.pruning import channels
from pipeline_src.config import Pruning
from pipeline_src.errors import UserError
from pipeline_src.models.layers.batch_norm import ScaleBatchNorm
from pipeline_src.weights import load_net, save_net

WAYS: dict[str, dict[str, Any]] = {
    "half": {"pruner": "l1", "sparsity": 0.5},
    "uneven": {"pruner": "l2", "sparsity": 0.3},
    "fpgm": {"pruner": "fpgm", "sparsity": 0.5},
    "most": {"pruner": "l1", "sparsity": 0.9},
    "global": {"pruner": "l1", "sparsity": 0.5, "scope": "global"},
    "normal": {"pruner": "l1", "sparsity": 0.5, "mode": "normal"},
}
SEVERAL: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    # A depthwise convolution is not pruned, and CARN-M and ECDN-M stand below, with all scales.
    **{name: net for name, net in NETS.items() if name not in ("mobile_subnet", "carn_m", "ecdn_m")},
    "carn": ("carn", [2, 3], {"mobile": False}),
    "carn_m of all scales": ("carn", [2, 3, 4], {"mobile": True, "groups": 4}),
    "ecdn": ("ecdn", [3, 4], {"mobile": False}),
    "ecdn_m of all scales": ("ecdn", [2, 3, 4], {"mobile": True}),
    "abpn, nearest": ("abpn", [3], {"channels": 12, "residual": "nearest", "image_conv": False}),
    "abpn, feature": ("abpn", [2], {"channels": 12, "residual": "feature"}),
}

PLAIN = ("carn", "ecdn")  # what these are made of, CARN-M and ECDN-M are made of too
OF_LARGE_NETS = ("half", "global")  # the other ways differ in the channels that they choose, not in how these go

EXAMPLES = {scale: [part[:20, :24] for part in photographs()] for scale in (2, 3, 4)}


@functools.cache
def random_net(name: str) -> tuple[Any, channels.Channels]:
    """A net of random weights, biases and statistics, in float64, and its channels."""
    torch.manual_seed(0)
    net = models.build(*SEVERAL[name])
    for parameter in net.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5 / max(1, parameter[0].numel()) ** 0.5)
    for module in net.modules():
        if isinstance(module, ScaleBatchNorm):
            for statistics in module.statistics.values():
                nn.init.normal_(statistics.mean)
                nn.init.uniform_(statistics.var, 0.5, 2.0)
    net = net.double().eval()
    return net, channels.read(net)


def images(net: Any) -> list[Tensor]:
    lr = 255 * torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        return [unclamped(net.at_scale(scale))(lr) for scale in net.description.scales]


def unclamped(net: Any) -> Any:
    net.clamp.train()  # clamped, all images might be 0
    return net


@pytest.mark.parametrize(
    ("name", "way"),
    [(n, way) for n in SEVERAL for way in WAYS if way in OF_LARGE_NETS or (n not in PLAIN and "all scales" not in n)],
)
def test_the_smaller_net_gives_what_the_masked_one_gives(name: str, way: str) -> None:
    net, net_channels = random_net(name)
    spec = Pruning(**WAYS[way])
    masked, smaller = copy.deepcopy(net), copy.deepcopy(net)
    scores = pruning.pruner_input(net, net_channels, spec, EXAMPLES)
    removed = pruning.channels_to_remove(net_channels, scores, spec)
    masked.load_state_dict(net_channels.mask(net.state_dict(), removed))
    layers = pruning.prune(smaller, spec, EXAMPLES, net_channels)
    assert parameters(smaller) < parameters(net)
    assert all(0 < layer.after <= layer.before for layer in layers)
    for pruned, reference, before in zip(images(smaller), images(masked), images(net), strict=True):
        assert (pruned - reference).abs().max() < 1e-5
        assert (before - reference).abs().max() > 1e-2


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", SEVERAL)
def test_half_of_every_layer_is_removed_except_of_those_that_make_the_image(name: str) -> None:
    net = copy.deepcopy(random_net(name)[0])
    layers = pruning.prune(net, Pruning(pruner="l1", sparsity=0.5), EXAMPLES)
    unpruned = {layer.layer for layer in layers if layer.after == layer.before}
    assert all(layer.after == layer.before - layer.before // 2 for layer in layers if layer.layer not in unpruned)
    last = {"vdsr": "body.6"} | dict.fromkeys(("abpn", "abpn_nearest", "abpn_bilinear"), "body.8")
    last |= dict.fromkeys(("abpn, nearest", "abpn, feature"), "body.12")
    assert unpruned == {last.get(name, "tail")}, layers


@pytest.mark.parametrize(("sparsity", "width", "count"), [(0.2, 52, 438_984), (0.5, 32, 166_464)])
def test_vdsr_has_the_widths_and_parameters_of_the_published_experiment(
    sparsity: float, width: int, count: int
) -> None:
    net = models.build("vdsr", [2, 3, 4], {})
    layers = pruning.prune(net, Pruning(pruner="l1", sparsity=sparsity), EXAMPLES)
    assert [layer.after for layer in layers] == [*[width] * 19, 1]
    assert parameters(net) == count


def test_nni_removes_the_same_filters_from_the_net_itself() -> None:
    from nni.compression.pruning import L1NormPruner

    net = models.build("vdsr", [2], {"channels": 12, "depth": 4})
    ours = copy.deepcopy(net)
    pruning.prune(ours, Pruning(pruner="l1", sparsity=0.4, criterion="weights"), {})
    pruner = L1NormPruner(net.body, [{"op_types": ["Conv2d"], "sparse_ratio": 0.4}])
    _, masks = pruner.compress()
    reads = torch.tensor([True])
    for name, conv in net.body.named_children():
        if isinstance(conv, nn.Conv2d):
            stays = masks[name]["weight"].flatten(1).any(1)
            assert torch.equal(ours.body.get_submodule(name).weight, conv.weight[stays][:, reads])
            reads = stays
    assert len(reads) == 1


def test_fewer_channels_are_removed_if_each_convolution_is_pruned_by_itself() -> None:
    """EDSR adds up its blocks: a channel of the sum is removed only if it is selected in every block."""
    net, net_channels = random_net("edsr")
    sizes = {}
    for mode in ("normal", "dependency_aware"):
        spec = Pruning.model_validate({"pruner": "l1", "sparsity": 0.5, "mode": mode})
        sizes[mode] = len(pruning.channels_to_remove(net_channels, net.state_dict(), spec))
    assert 0 < sizes["normal"] < sizes["dependency_aware"]


def test_only_the_named_layers_become_smaller() -> None:
    net = models.build("edsr", [2], {"channels": 12, "blocks": 3})
    spec = Pruning(pruner="l1", sparsity=0.5, layers=["body.*.body.0"], exclude=["body.1.*"])
    layers = pruning.prune(net, spec, EXAMPLES)
    assert {layer.layer for layer in layers if layer.after < layer.before} == {"body.0.body.0", "body.2.body.0"}


def test_level_sets_the_smallest_weights_to_zero_and_training_keeps_them_there() -> None:
    torch.manual_seed(0)
    net = models.build("abpn", [2], {"channels": 12, "depth": 2})
    nn.init.normal_(net.body[-1].weight)
    before = copy.deepcopy(net.state_dict())
    spec = Pruning(pruner="level", sparsity=0.75, criterion="weights", exclude=["body.4"])
    first, *_, last = pruning.prune(net, spec, {})
    assert (first.layer, first.before, first.after) == ("body.0", 12 * 27, 12 * 27 // 4)
    assert last.layer == "body.8"
    assert torch.equal(net.body[4].weight, before["body.4.weight"])
    weights, unpruned = net.body[2].weight, before["body.2.weight"]
    zero = weights == 0
    assert unpruned[zero].abs().max() <= unpruned[~zero].abs().min()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        (net(255 * torch.rand(1, 3, 8, 8)) - 100).abs().mean().backward()
        optimiser.step()
    assert torch.equal(weights == 0, zero)
    assert (weights[~zero] != unpruned[~zero]).any()


def test_qat_leaves_the_zeros_of_level_at_zero() -> None:
    net = copy.deepcopy(trained("abpn"))
    pruning.prune(net, Pruning(pruner="level", sparsity=0.5), EXAMPLES)
    graphs = prepared(net)
    calibrate(graphs, EXAMPLES)
    pruning.keep_zeros(graphs)
    weights = [parameter for parameter in graphs.parameters() if parameter.ndim == 4]
    before = [weight.detach().clone() for weight in weights]
    assert all((weight == 0).float().mean() > 0.4 for weight in before)
    optimiser = torch.optim.Adam(graphs.parameters(), 1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        (graphs.at_scale(3)(255 * torch.rand(1, 3, 8, 8)) - 100).abs().mean().backward()
        optimiser.step()
    assert all(torch.equal(now == 0, was == 0) for now, was in zip(weights, before, strict=True))
    assert any((now != was).any() for now, was in zip(weights, before, strict=True))


def test_random_weights_have_the_widths_but_not_the_values_of_the_surviving_ones() -> None:
    nets = {}
    for weights in ("surviving", "random"):
        torch.manual_seed(0)
        nets[weights] = models.build("ecdn", [2], {"mobile": True})
        for statistics in nets[weights].body.blocks[0].layers[0].norm.statistics.values():
            statistics.mean.fill_(1)
        spec = Pruning.model_validate({"pruner": "l1", "sparsity": 0.5, "initialise": weights})
        pruning.prune(nets[weights], spec, EXAMPLES)
    surviving, random = (net.state_dict() for net in nets.values())
    assert {name: tensor.shape for name, tensor in surviving.items()} == {n: t.shape for n, t in random.items()}
    assert not torch.equal(surviving["head.weight"], random["head.weight"])
    assert torch.equal(surviving["sub_mean.0.weight"], random["sub_mean.0.weight"])  # no weight, but the mean of DIV2K
    assert not random["body.blocks.0.layers.0.norm.statistics.2.mean"].any()


def test_a_pruned_net_is_read_back_as_it_was(tmp_path: Path) -> None:
    model, scales, arguments = SEVERAL["ecdn_m of all scales"]
    net = copy.deepcopy(random_net("ecdn_m of all scales")[0]).float()
    pruning.prune(net, Pruning(pruner="l1", sparsity=0.3), EXAMPLES)
    file = tmp_path / "pruned.safetensors"
    metadata = {"model": model, "scales": scales, "net": arguments}
    save_net(file, net, metadata | {"pruned": {"pruner": "l1"}})
    again, _ = load_net(file)
    lr = 255 * torch.rand(1, 3, 8, 8)
    for scale in scales:
        assert torch.equal(again.at_scale(scale).eval()(lr), net.at_scale(scale).eval()(lr))
    save_net(file, net, metadata)
    with pytest.raises(UserError, match="does not fit the net ecdn that it names: size mismatch"):
        load_net(file)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layers": ["upscale.*"]}, "'upscale.*' matches no convolution that is trained; the net has body.0, body.10"),
        ({"exclude": ["nothing"]}, "'nothing' matches no convolution that is trained"),
        (
            {"layers": ["body.12"]},
            "l1 at sparsity 0.5, mode dependency_aware, removes no filter of this net; raise the",
        ),
        ({"sparsity": 0.01}, "l1 at sparsity 0.01, mode dependency_aware, removes no filter of this net"),
    ],
)
def test_patterns_and_settings_that_remove_nothing_are_refused(spec: dict[str, Any], message: str) -> None:
    net = models.build("abpn", [3], {})
    with pytest.raises(UserError) as error:
        pruning.prune(net, Pruning(**{"pruner": "l1", "sparsity": 0.5} | spec), EXAMPLES)
    assert str(error.value).startswith(message)


def test_importance_does_not_depend_on_the_scales_of_channels() -> None:
    """A channel multiplied by what its readers are divided by is the same net: the same filters are removed."""
    net = copy.deepcopy(trained("abpn"))
    net.body[0].bias.data[5] = -1e4  # its ReLU never opens
    twin = copy.deepcopy(net)
    factors = 10.0 ** torch.linspace(-2, 2, 12)
    twin.body[0].weight.data *= factors[:, None, None, None]
    twin.body[0].bias.data *= factors
    twin.body[2].weight.data /= factors[:, None, None]
    by_importance = Pruning(pruner="l1", sparsity=0.5)
    by_weights = by_importance.model_copy(update={"criterion": "weights"})
    assert removed_channels(net, by_importance) == removed_channels(twin, by_importance)
    assert removed_channels(net, by_weights) != removed_channels(twin, by_weights)
    assert channels.read(net).convolutions["body.0.weight"].outputs[5] in removed_channels(net, by_importance)


def removed_channels(net: Any, spec: Pruning) -> set[int]:
    net_channels = channels.read(net)
    return pruning.channels_to_remove(net_channels, pruning.pruner_input(net, net_channels, spec, EXAMPLES), spec)
