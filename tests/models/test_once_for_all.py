"""Once-for-all nets: what is trained as a part is what is cut out, and a subnet costs what its blocks say."""

import itertools
import random
import re
from typing import Any

import pytest
import torch
import yaml
from shared import ROOT
from torch import Tensor, nn

from pipeline_src.metrics import complexity
from pipeline_src.models.once_for_all import build
from pipeline_src.models.once_for_all.supernet import dimension
from pipeline_src.searching import costs

SPACES: dict[str, dict[str, Any]] = {
    "plain": {"space": "plain", "widths": [6, 4, 8], "depths": [3, 1, 2]},
    "mobile": {
        "space": "mobile", "widths": [3, 1, 2], "depths": [2, 1], "kernels": [5, 3, 7], "channels": 4, "hr_channels": 3,
    },
}  # fmt: skip
SCALES = [2, 4]
every_space = pytest.mark.parametrize("space", SPACES)


def whole_of(space: str, scales: list[int] = SCALES) -> Any:
    """A supernet with something in every parameter, the transforms of kernels among them."""
    torch.manual_seed(0)
    whole = build(scales, **SPACES[space])
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=0.1)
    return whole


def subnets_of(whole: Any, count: int = 2) -> list[dict[str, int]]:
    chance = random.Random(1)
    drawn = [whole.sample_subnet(chance, scale) for scale in SCALES for _ in range(count)]
    return drawn + [end(scale) for scale in SCALES for end in (whole.smallest, whole.largest)]


def cut_out(whole: Any, space: str, subnet: dict[str, int]) -> Any:
    net = build(SCALES, **SPACES[space], subnet=subnet)
    net.load_state_dict(whole.subnet_weights(subnet))
    return net.eval()


def pixels(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 255


@every_space
@torch.no_grad()
def test_a_part_computes_what_the_net_that_is_cut_out_does(space: str) -> None:
    whole, lr = whole_of(space), pixels(2, 3, 9, 13)
    made = []
    for subnet in subnets_of(whole):
        part, net = whole.subnet_module(subnet), cut_out(whole, space, subnet)
        assert torch.equal(part.train()(lr), net.train()(lr))
        made.append(part.eval()(lr))
        assert torch.equal(made[-1], net.eval()(lr))
        scale = subnet["scale"]
        assert made[-1].shape == (2, 3, 9 * scale, 13 * scale), "×2 and ×4 come from one net"
        assert net.description.scales == (scale,)
        assert torch.equal(whole.at_scale(scale).eval()(lr), cut_out(whole, space, whole.largest(scale))(lr))
    assert all(
        one.shape != other.shape or not torch.equal(one, other) for one, other in itertools.combinations(made, 2)
    )


@every_space
def test_a_part_trains_what_it_shares_and_nothing_else(space: str) -> None:
    whole, lr = whole_of(space), pixels(1, 3, 8, 8)
    subnet = whole.smallest(2)
    before = whole.subnet_module(subnet).train()(lr)
    before.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in whole.named_parameters() if parameter.grad is not None}
    everything = {name for name, _ in whole.named_parameters()}
    if space == "plain":  # of depth 1: without the fourth and fifth convolution, and the end of ×4
        left_out = re.compile(r"convs\.[34]|tails\.4")
        inner, head = gradients["convs.1.weight"], gradients["convs.1.weight"][:4, :4]
    else:
        left_out = re.compile(r"net\.stages\.\d\.1|transforms\.\d_2|net\.ups\.1")
        inner, head = gradients["net.stages.2.0.depthwise.weight"], gradients["net.stages.2.0.depthwise.weight"][:4]
        assert all(gradients[f"transforms.3_1.{kernel}"].any() for kernel in (3, 5))
    assert gradients.keys() == {name for name in everything if not left_out.match(name)}
    assert head.abs().sum() > 0
    assert inner.abs().sum() == pytest.approx(head.abs().sum().item()), "channels beyond the subnet's have none"
    torch.optim.SGD(whole.parameters(), 1e-6).step()
    assert not torch.equal(whole.subnet_module(subnet).train()(lr), before)


@every_space
def test_the_blocks_have_the_parameters_and_mult_adds_of_the_net(space: str) -> None:
    whole = whole_of(space)
    known = {*whole.all_blocks()}
    assert len(known) == len(whole.all_blocks())
    for subnet in subnets_of(whole):
        blocks, net = whole.blocks(subnet), cut_out(whole, space, subnet)
        assert {*blocks} <= known
        assert costs.parameters(blocks) == complexity.parameters(net)
        assert costs.mult_adds(blocks) == pytest.approx(complexity.mult_adds(net, subnet["scale"]), abs=0.5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("space", SPACES)
def test_the_largest_subnet_takes_four_times_the_smallest(space: str, scale: int) -> None:
    wide = {"space": "mobile", "widths": [3, 4, 6], "depths": [2, 3, 4], "kernels": [3, 5, 7]}
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    whole = build(SCALES, **{"mobile": wide, "plain": params["systems"]["ofa_sr"]["net"]}[space])
    largest, smallest = (costs.mult_adds(whole.blocks(end(scale))) for end in (whole.largest, whole.smallest))
    assert largest / smallest >= 4


def test_a_smaller_kernel_is_the_centre_of_the_larger_one_until_it_is_trained() -> None:
    torch.manual_seed(0)
    whole: Any = build([2], space="mobile", kernels=[3, 5, 7], depths=[1], widths=[2], channels=4)
    transforms = whole.transforms["1_1"]
    assert sum(parameter.numel() for parameter in transforms.parameters()) == 706
    name = "stages.0.0.depthwise.weight"
    large = whole.subnet_weights(whole.largest(2))[name]
    assert large.shape[-1] == 7
    for kernel in (5, 3):
        cut = (7 - kernel) // 2
        subnet = whole.largest(2) | {"kernel1_1": kernel}
        assert torch.equal(whole.subnet_weights(subnet)[name], large[..., cut:-cut, cut:-cut])
    with torch.no_grad():
        transforms["5"].mul_(2)
        transforms["3"].copy_(transforms["3"].roll(1, 0))  # each output is the input before it
    assert torch.equal(whole.subnet_weights(whole.largest(2))[name], large)
    assert torch.equal(whole.subnet_weights(whole.largest(2) | {"kernel1_1": 5})[name], 2 * large[..., 1:-1, 1:-1])
    centre = whole.subnet_weights(whole.largest(2) | {"kernel1_1": 3})[name].flatten(1)
    assert torch.equal(centre, 2 * large[..., 2:-2, 2:-2].flatten(1).roll(1, 1))


@every_space
@torch.no_grad()
def test_sorting_puts_the_important_channels_first_and_changes_no_net_of_all_channels(space: str) -> None:
    whole, lr = whole_of(space), pixels(1, 3, 12, 10)
    full = {"scale": SCALES, "depth": whole.choices()["depth"], "kernel": whole.choices().get("kernel", ())}
    chance = random.Random(2)
    nets = [whole.sample_subnet(chance, scale, full) for scale in SCALES for _ in range(4)]
    before = [whole.subnet_module(subnet).eval()(lr) for subnet in nets]
    smallest = whole.subnet_module(whole.smallest(2)).eval()(lr)
    whole.sort_channels(max(whole.choices()["width"]))
    for subnet, was in zip(nets, before, strict=True):
        assert torch.allclose(whole.subnet_module(subnet).eval()(lr), was, atol=1e-3), subnet
    assert not torch.allclose(whole.subnet_module(whole.smallest(2)).eval()(lr), smallest, atol=1e-3)
    for importance in importances(whole, space):
        assert torch.equal(importance, importance.sort(descending=True).values)
        assert importance[0] > importance[-1]


def importances(whole: Any, space: str) -> list[Tensor]:
    """Of every order of channels the L1 norms of what takes each in: of ×2, ×4 and all depths together."""
    if space == "mobile":
        return [taken(block.project) for stage in whole.net.stages for block in stage]
    tails = [*whole.tails.values()]
    last = [*whole.convs[3:], *tails]  # a net of depth 1 ends with the third convolution
    return [taken(whole.convs[1]), taken(whole.convs[2]), sum(taken(conv) for conv in last)]  # type: ignore[list-item]


def taken(conv: Any) -> Tensor:
    return conv.weight.abs().sum((0, 2, 3))


@every_space
@torch.no_grad()
def test_sorting_some_leaves_the_rest_in_its_place(space: str) -> None:
    whole, first = whole_of(space), {"plain": 6, "mobile": 2}[space]
    before = {name: parameter.clone() for name, parameter in whole.named_parameters()}
    order = importances(whole, space)
    whole.sort_channels(first)
    head = first * (4 if space == "mobile" else 1)
    for was, now in zip(order, importances(whole, space), strict=True):
        assert torch.allclose(now[:head], was[:head].sort(descending=True).values)
        assert torch.allclose(now[head:], was[head:])
    names = ["convs.1.weight"] if space == "plain" else ["net.stages.0.0.expand.weight", "net.stages.3.1.expand.bias"]
    for name in names:
        now = whole.get_parameter(name)
        assert not torch.equal(now, before[name])
        columns = slice(head if space == "plain" else 0, None)
        assert torch.equal(now[head:, columns] if now.ndim > 1 else now[head:], (
            before[name][head:, columns] if now.ndim > 1 else before[name][head:]
        ))  # fmt: skip


@pytest.mark.parametrize(
    ("space", "change", "said"),
    [
        ("plain", {"width2": 5}, "width2 is 5, but this space has 4, 6, 8"),
        ("plain", {"scale": 3}, "scale is 3, but this space has 2, 4"),
        ("mobile", {"kernel1_1": 9}, "kernel1_1 is 9, but this space has 3, 5, 7"),
        ("mobile", {"depth4": 3}, "depth4 is 3, but this space has 1, 2"),
        ("plain", {"kernel1": 3}, "the subnet has kernel1; the genes of this space are scale, depth, width1, width2,"),
        ("mobile", {"width1_1": None}, "the subnet lacks width1_1; the genes of this space are scale, depth1, depth2,"),
    ],
)
def test_what_is_no_subnet_of_the_space_is_refused(space: str, change: dict[str, Any], said: str) -> None:
    genes = build(SCALES, **SPACES[space]).largest(2) | change
    genes = {gene: choice for gene, choice in genes.items() if choice is not None}
    with pytest.raises(ValueError, match=said):
        build(SCALES, **SPACES[space], subnet=genes)


def test_a_space_that_is_not_there_or_has_not_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="the spaces are plain and mobile, not 'resnet'"):
        build([2], space="resnet")
    with pytest.raises(ValueError, match=r"the mobile space upscales by 2 and 4, .* not by \[2, 3\]"):
        build([2, 3], space="mobile")
    with pytest.raises(ValueError, match="this net upscales ×2, ×4, not ×3"):
        whole_of("plain").at_scale(3)
    with pytest.raises(ValueError, match="this net upscales ×4, not ×2"):
        whole_of("plain").subnet_module(whole_of("plain").largest(4)).at_scale(2)
    assert whole_of("plain", [3]).at_scale(3).eval()(pixels(1, 3, 8, 8)).shape[-1] == 24


@every_space
def test_equal_nets_are_equal_subnets(space: str) -> None:
    whole = whole_of(space)
    some = {gene: choices[0] if "depth" in gene else choices[-1] for gene, choices in whole.genes.items()}
    other = {gene: choices[0] if gene in ("width5", "width1_2", "kernel3_2") else some[gene]
             for gene, choices in whole.genes.items()}  # fmt: skip
    assert some != other
    assert whole.subnet(some) == whole.subnet(other) == whole.subnet(whole.subnet(some))
    left_out = {gene for gene, choice in whole.subnet(some).items() if not choice}
    assert left_out == (
        {"width4", "width5"} if space == "plain" else {f"{g}{s}_2" for g in ("width", "kernel") for s in (1, 2, 3, 4)}
    )
    assert whole.subnet(some | {"width5": 7} if space == "plain" else some | {"width1_2": 7}) == whole.subnet(some)


@pytest.mark.parametrize(
    "net",
    [
        {"space": "plain", "widths": [2, 4], "depths": [1, 3]},
        {"space": "mobile", "widths": [1, 2], "depths": [1, 2], "kernels": [3], "channels": 2, "hr_channels": 2},
    ],
    ids=lambda net: net["space"],
)
def test_count_is_that_of_all_there_are(net: dict[str, Any]) -> None:
    whole: Any = build([2], **net)
    every = itertools.product(*whole.genes.values())
    found = {tuple(whole.subnet(dict(zip(whole.genes, genes, strict=True))).values()) for genes in every}
    assert whole.count_subnets(2) == len(found)


@every_space
def test_a_draw_is_of_its_seed_and_of_the_choices(space: str) -> None:
    whole = whole_of(space)

    def drawn(seed: int, choices: Any = None) -> list[dict[str, int]]:
        chance = random.Random(seed)
        return [whole.sample_subnet(chance, 4, choices) for _ in range(100)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {subnet["scale"] for subnet in drawn(1)} == {4}
    for gene, choices in whole.genes.items():
        if gene != "scale":
            assert {subnet[gene] for subnet in drawn(1)} - {0} == {*choices}
    some = whole.choices()["width"][:2]
    assert {choice for subnet in drawn(1, {"width": some}) for gene, choice in subnet.items()
            if dimension(gene) == "width"} - {0} == {*some}  # fmt: skip
    for subnet in drawn(1, {"width": some}):
        others = {gene: choice for gene, choice in subnet.items() if dimension(gene) not in ("width", "scale")}
        assert others == {gene: whole.genes[gene][-1] for gene in others}, "what is not named is the largest"
