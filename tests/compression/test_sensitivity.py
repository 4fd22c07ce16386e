"""What a layer by itself loses in int8."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from shared import photograph
from small_net import NETS, calibrated, images, trained

from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate, sensitivity
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import fold
from pipeline_src.imaging.imresize import imresize


def pair(scale: int) -> sensitivity.Pair:
    hr = photograph("coffee.png")[100 : 100 + 24 * scale, 150 : 150 + 32 * scale]
    return imresize(hr, 1 / scale), hr


def prepared(name: str) -> tuple[Any, int]:
    net = trained(name)
    scale = net.description.scales[-1]
    return copy.deepcopy(calibrated(net)).at_scale(scale), scale


@pytest.mark.parametrize("name", NETS)
def test_every_convolution_is_a_layer_and_all_together_are_the_int8_net(name: str) -> None:
    graph, scale = prepared(name)
    layers = sensitivity.layers(graph)
    weights = {str(n.target).removesuffix(".weight") for n in graph.graph.nodes if str(n.target).endswith("weight")}
    assert weights <= set(layers)
    lr = torch.tensor(pair(scale)[0]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        nodes = set().union(*layers.values())
        together = sensitivity._PartlyQuantized(graph, nodes).run(lr)
        assert (together - graph(lr)).abs().max() < 1e-3  # what only moves values need not quantise them again
        assert not torch.equal(sensitivity._PartlyQuantized(graph, set()).run(lr), together)


@pytest.mark.parametrize("name", NETS)
def test_layers_left_in_float_have_no_int8_weights_and_bring_a_net_nearer_to_the_float_one(name: str) -> None:
    """Not all the way: concatenations and what moves values stay int8, and the image that leaves is rounded."""
    net, (int8, scale) = trained(name), prepared(name)
    graphs = quantization.prepare(fold(net), sensitivity.layers(int8))
    calibrate(graphs, {scale: images() for scale in net.description.scales})
    graph = graphs.at_scale(scale)
    assert not [n for n in graph.graph.nodes if n.op == "call_module" and n.args[0].op == "get_attr"]
    lr = torch.tensor(pair(scale)[0]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        errors = [(graph(lr) - net.at_scale(scale)(lr)).square().mean() for graph in (graph, int8)]
    assert errors[0] < 1.01 * errors[1]  # of which rounding the image is the most


def test_the_layers_to_keep_are_the_worst_or_those_that_are_named() -> None:
    rows = [{"scale": 2, "layer": "a.0", "lost_db": 0.1}, {"scale": 2, "layer": "a.1", "lost_db": -0.2}]
    rows += [{"scale": 3, "layer": "b", "lost_db": 0.3}, {"scale": 3, "layer": "a.1", "lost_db": 0.2}]
    names = ["a.0", "a.1", "b"]
    assert sensitivity.layers_to_keep(2, rows, names) == ["b", "a.1"]
    assert sensitivity.layers_to_keep(["a.*"], [], names) == ["a.0", "a.1"]
    with pytest.raises(UserError, match=r"float_layers names 'body\.9', but the layers are a\.0, a\.1, b; correct it"):
        sensitivity.layers_to_keep(["a.0", "body.9"], [], names)


def test_a_layer_is_tried_with_its_own_scale_and_no_other_layer_is() -> None:
    graph, scale = prepared("abpn")
    before = {row["layer"]: row["lost_db"] for row in sensitivity.lost_by_layer(graph, [pair(scale)], scale)}
    (spoilt,) = (n for n in sensitivity.layers(graph)["body.2"] if n.args[0].op == "get_attr")
    graph.get_submodule(spoilt.target).scale.mul_(40)
    rows = list(sensitivity.lost_by_layer(graph, [pair(scale)], scale))
    assert {row["scale"] for row in rows} == {scale}
    after = {row["layer"]: row["lost_db"] for row in rows}
    assert abs(after["body.2"] - before["body.2"]) > 0.01
    assert {k: v for k, v in after.items() if k != "body.2"} == {k: v for k, v in before.items() if k != "body.2"}
    assert np.isfinite(list(after.values())).all()
