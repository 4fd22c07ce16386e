"""Once-for-all nets: a subnet computes the same within the supernet and extracted, and costs what its blocks cost."""

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
    "tails": {"space": "plain", "widths": [6, 4, 8], "depths": [3, 1, 2], "tails": [2, 1]},
    "mobile": {
        "space": "mobile", "widths": [3, 1, 2], "depths": [2, 1], "kernels": [5, 3, 7], "channels": 4, "hr_channels": 3,
    },
}  # fmt: skip
SCALES = [2, 4]
every_space = pytest.mark.parametrize("space", SPACES)


def supernet_of(space: str, scales: list[int] = SCALES) -> Any:
    """Return a supernet with random values in every parameter, the transforms of kernels too."""
    torch.manual_seed(0)
    supernet = build(scales, **SPACES[space])
    for parameter in supernet.parameters():
        nn.init.normal_(parameter, std=0.1)
    return supernet


def subnets_of(supernet: Any, count: int = 2) -> list[dict[str, int]]:
    generator = random.Random(1)
    samples = [supernet.sample_subnet(generator, scale) for scale in SCALES for _ in range(count)]
    return samples + [end(scale) for scale in SCALES for end in (supernet.smallest, supernet.largest)]


def extracted(supernet: Any, space: str, subnet: dict[str, int]) -> Any:
    net = build(SCALES, **SPACES[space], subnet=subnet)
    net.load_state_dict(supernet.subnet_weights(subnet))
    return net.eval()


def pixels(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 255


@every_space
@torch.no_grad()
def test_a_subnet_computes_the_same_within_the_supernet_and_extracted(space: str) -> None:
    supernet, lr = supernet_of(space), pixels(2, 3, 9, 13)
    made = []
    for subnet in subnets_of(supernet):
        within, net = supernet.subnet_module(subnet), extracted(supernet, space, subnet)
        assert torch.equal(within.train()(lr), net.train()(lr))
        made.append(within.eval()(lr))
        assert torch.equal(made[-1], net.eval()(lr))
        scale = subnet["scale"]
        assert made[-1].shape == (2, 3, 9 * scale, 13 * scale), "×2 and ×4 come from one net"
        assert net.description.scales == (scale,)
        assert torch.equal(supernet.at_scale(scale).eval()(lr), extracted(supernet, space, supernet.largest(scale))(lr))
    assert all(
        one.shape != other.shape or not torch.equal(one, other) for one, other in itertools.combinations(made, 2)
    )


@every_space
def test_a_subnet_trains_its_share_of_the_weights_and_nothing_else(space: str) -> None:
    supernet, lr = supernet_of(space), pixels(1, 3, 8, 8)
    subnet = supernet.smallest(2)
    before = supernet.subnet_module(subnet).train()(lr)
    before.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    everything = {name for name, _ in supernet.named_parameters()}
    if space != "mobile":  # of depth 1: without the fourth and fifth convolution, and the end of ×4
        left_out = re.compile(r"convs\.[34]|tails\.4|image_")
        inner, head = gradients["convs.1.weight"], gradients["convs.1.weight"][:4, :4]
    else:
        left_out = re.compile(r"net\.stages\.\d\.1|transforms\.\d_2|net\.ups\.1")
        inner, head = gradients["net.stages.2.0.depthwise.weight"], gradients["net.stages.2.0.depthwise.weight"][:4]
        assert all(gradients[f"transforms.3_1.{kernel}"].any() for kernel in (3, 5))
    assert gradients.keys() == {name for name in everything if not left_out.match(name)}
    assert head.abs().sum() > 0
    assert inner.abs().sum() == pytest.approx(head.abs().sum().item()), "channels beyond the subnet's have none"
    torch.optim.SGD(supernet.parameters(), 1e-6).step()
    assert not torch.equal(supernet.subnet_module(subnet).train()(lr), before)


@every_space
def test_the_blocks_have_the_parameters_and_mult_adds_of_the_net(space: str) -> None:
    supernet = supernet_of(space)
    known = {*supernet.all_blocks()}
    assert len(known) == len(supernet.all_blocks())
    for subnet in subnets_of(supernet):
        blocks, net = supernet.blocks(subnet), extracted(supernet, space, subnet)
        assert {*blocks} <= known
        assert costs.parameters(blocks) == complexity.parameters(net)
        assert costs.mult_adds(blocks) == pytest.approx(complexity.mult_adds(net, subnet["scale"]), abs=0.5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("space", ["plain", "mobile"])
def test_the_largest_subnet_takes_four_times_the_smallest(space: str, scale: int) -> None:
    wide = {"space": "mobile", "widths": [3, 4, 6], "depths": [2, 3, 4], "kernels": [3, 5, 7]}
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    supernet = build(SCALES, **{"mobile": wide, "plain": params["systems"]["ofa_sr"]["net"]}[space])
    largest, smallest = (costs.mult_adds(supernet.blocks(end(scale))) for end in (supernet.largest, supernet.smallest))
    assert largest / smallest >= 4


def test_a_smaller_kernel_is_at_first_the_centre_of_the_larger_one() -> None:
    torch.manual_seed(0)
    supernet: Any = build([2], space="mobile", kernels=[3, 5, 7], depths=[1], widths=[2], channels=4)
    transforms = supernet.transforms["1_1"]
    assert sum(parameter.numel() for parameter in transforms.parameters()) == 706
    name = "stages.0.0.depthwise.weight"
    large = supernet.subnet_weights(supernet.largest(2))[name]
    assert large.shape[-1] == 7
    for kernel in (5, 3):
        cut = (7 - kernel) // 2
        subnet = supernet.largest(2) | {"kernel1_1": kernel}
        assert torch.equal(supernet.subnet_weights(subnet)[name], large[..., cut:-cut, cut:-cut])
    with torch.no_grad():
        transforms["5"].mul_(2)
        transforms["3"].copy_(transforms["3"].roll(1, 0))  # each output is the input before it
    assert torch.equal(supernet.subnet_weights(supernet.largest(2))[name], large)
    assert torch.equal(
        supernet.subnet_weights(supernet.largest(2) | {"kernel1_1": 5})[name], 2 * large[..., 1:-1, 1:-1]
    )
    centre = supernet.subnet_weights(supernet.largest(2) | {"kernel1_1": 3})[name].flatten(1)
    assert torch.equal(centre, 2 * large[..., 2:-2, 2:-2].flatten(1).roll(1, 1))


@every_space
@torch.no_grad()
def test_sorting_puts_important_channels_first_and_changes_no_subnet_of_full_width(space: str) -> None:
    supernet, lr = supernet_of(space), pixels(1, 3, 12, 10)
    full = {"scale": SCALES, "depth": supernet.choices()["depth"], "kernel": supernet.choices().get("kernel", ())}
    generator = random.Random(2)
    nets = [supernet.sample_subnet(generator, scale, full) for scale in SCALES for _ in range(4)]
    before = [supernet.subnet_module(subnet).eval()(lr) for subnet in nets]
    smallest = supernet.subnet_module(supernet.smallest(2)).eval()(lr)
    supernet.sort_channels(max(supernet.choices()["width"]))
    for subnet, was in zip(nets, before, strict=True):
        assert torch.allclose(supernet.subnet_module(subnet).eval()(lr), was, atol=1e-3), subnet
    assert not torch.allclose(supernet.subnet_module(supernet.smallest(2)).eval()(lr), smallest, atol=1e-3)
    for importance in importances(supernet, space):
        assert torch.equal(importance, importance.sort(descending=True).values)
        assert importance[0] > importance[-1]


def importances(supernet: Any, space: str) -> list[Tensor]:
    """Return the importance of each channel, for each sorted group of channels, over all scales and depths."""
    if space == "mobile":
        return [importance_of(block.project) for stage in supernet.net.stages for block in stage]
    tails = [*supernet.tails.values(), *(supernet.image_convs.values() if space == "tails" else [])]
    last = [*supernet.convs[3:], *tails]  # a net of depth 1 ends with the third convolution
    return [
        importance_of(supernet.convs[1]),
        importance_of(supernet.convs[2]),
        sum(importance_of(conv) for conv in last),
    ]  # type: ignore[list-item]


def importance_of(conv: Any) -> Tensor:
    return conv.weight.abs().sum((0, 2, 3))


@every_space
@torch.no_grad()
def test_sorting_some_channels_leaves_the_others_where_they_are(space: str) -> None:
    supernet, first = supernet_of(space), 2 if space == "mobile" else 6
    before = {name: parameter.clone() for name, parameter in supernet.named_parameters()}
    order = importances(supernet, space)
    supernet.sort_channels(first)
    head = first * (4 if space == "mobile" else 1)
    for was, now in zip(order, importances(supernet, space), strict=True):
        assert torch.allclose(now[:head], was[:head].sort(descending=True).values)
        assert torch.allclose(now[head:], was[head:])
    names = ["convs.1.weight"] if space != "mobile" else ["net.stages.0.0.expand.weight", "net.stages.3.1.expand.bias"]
    for name in names:
        now = supernet.get_parameter(name)
        assert not torch.equal(now, before[name])
        columns = slice(head if space != "mobile" else 0, None)
        assert torch.equal(now[head:, columns] if now.ndim > 1 else now[head:], (
            before[name][head:, columns] if now.ndim > 1 else before[name][head:]
        ))  # fmt: skip


@pytest.mark.parametrize(
    ("space", "change", "message"),
    [
        ("plain", {"width2": 5}, "width2 is 5, but this space has 4, 6, 8"),
        ("plain", {"scale": 3}, "scale is 3, but this space has 2, 4"),
        ("mobile", {"kernel1_1": 9}, "kernel1_1 is 9, but this space has 3, 5, 7"),
        ("mobile", {"depth4": 3}, "depth4 is 3, but this space has 1, 2"),
        ("plain", {"kernel1": 3}, "the subnet has kernel1; the genes of this space are scale, depth, width1, width2,"),
        ("mobile", {"width1_1": None}, "the subnet lacks width1_1; the genes of this space are scale, depth1, depth2,"),
    ],
)
def test_genes_that_the_space_lacks_are_refused(space: str, change: dict[str, Any], message: str) -> None:
    genes = build(SCALES, **SPACES[space]).largest(2) | change
    genes = {gene: choice for gene, choice in genes.items() if choice is not None}
    with pytest.raises(ValueError, match=message):
        build(SCALES, **SPACES[space], subnet=genes)


def test_an_unknown_space_or_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="the spaces are plain and mobile, not 'resnet'"):
        build([2], space="resnet")
    with pytest.raises(ValueError, match=r"the mobile space upscales by 2 and 4, .* not by \[2, 3\]"):
        build([2, 3], space="mobile")
    with pytest.raises(ValueError, match="this net upscales ×2, ×4, not ×3"):
        supernet_of("plain").at_scale(3)
    with pytest.raises(ValueError, match="this net upscales ×4, not ×2"):
        supernet_of("plain").subnet_module(supernet_of("plain").largest(4)).at_scale(2)
    assert supernet_of("plain", [3]).at_scale(3).eval()(pixels(1, 3, 8, 8)).shape[-1] == 24


@every_space
def test_equal_nets_are_equal_subnets(space: str) -> None:
    supernet = supernet_of(space)
    some = {gene: choices[0] if "depth" in gene else choices[-1] for gene, choices in supernet.genes.items()}
    other = {gene: choices[0] if gene in ("width5", "width1_2", "kernel3_2") else some[gene]
             for gene, choices in supernet.genes.items()}  # fmt: skip
    assert some != other
    assert supernet.subnet(some) == supernet.subnet(other) == supernet.subnet(supernet.subnet(some))
    left_out = {gene for gene, choice in supernet.subnet(some).items() if not choice}
    assert left_out == (
        {"width4", "width5"} if space != "mobile" else {f"{g}{s}_2" for g in ("width", "kernel") for s in (1, 2, 3, 4)}
    )
    assert supernet.subnet(some | {"width5": 7} if space != "mobile" else some | {"width1_2": 7}) == supernet.subnet(
        some
    )


@pytest.mark.parametrize(
    "net",
    [
        {"space": "plain", "widths": [2, 4], "depths": [1, 3]},
        {"space": "plain", "widths": [2, 4], "depths": [1, 2], "tails": [1, 2]},
        {"space": "mobile", "widths": [1, 2], "depths": [1, 2], "kernels": [3], "channels": 2, "hr_channels": 2},
    ],
    ids=["plain", "tails", "mobile"],
)
def test_the_count_of_subnets_is_that_of_an_enumeration(net: dict[str, Any]) -> None:
    supernet: Any = build([2], **net)
    every = itertools.product(*supernet.genes.values())
    found = {tuple(supernet.subnet(dict(zip(supernet.genes, genes, strict=True))).values()) for genes in every}
    assert supernet.count_subnets(2) == len(found)


@every_space
def test_samples_depend_on_the_seed_and_on_the_choices(space: str) -> None:
    supernet = supernet_of(space)

    def samples(seed: int, choices: Any = None) -> list[dict[str, int]]:
        generator = random.Random(seed)
        return [supernet.sample_subnet(generator, 4, choices) for _ in range(100)]

    assert samples(1) == samples(1) != samples(2)
    assert {subnet["scale"] for subnet in samples(1)} == {4}
    for gene, choices in supernet.genes.items():
        if gene != "scale":
            assert {subnet[gene] for subnet in samples(1)} - {0} == {*choices}
    some = supernet.choices()["width"][:2]
    assert {choice for subnet in samples(1, {"width": some}) for gene, choice in subnet.items()
            if dimension(gene) == "width"} - {0} == {*some}  # fmt: skip
    for subnet in samples(1, {"width": some}):
        others = {gene: choice for gene, choice in subnet.items() if dimension(gene) not in ("width", "scale")}
        assert others == {gene: supernet.genes[gene][-1] for gene in others}, (
            "dimensions without choices keep the largest"
        )
