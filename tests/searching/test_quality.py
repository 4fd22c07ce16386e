"""The quality of subnets, measured as a validation measures it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from spaces import PLAIN

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.metrics.validation import validator
from pipeline_src.models.once_for_all import build
from pipeline_src.searching.quality import SubnetEvaluator


def test_the_evaluator_measures_as_the_validation_does(train_h5: Path) -> None:
    torch.manual_seed(0)
    supernet: Any = build([2, 4], **PLAIN)
    for tail in supernet.tails.values():
        torch.nn.init.normal_(tail.weight, std=0.02)
    validation = ImagePairs(train_h5, "validation")
    subnets = [supernet.smallest(4), supernet.largest(4), supernet.smallest(4)]
    measured = SubnetEvaluator(supernet, validation, 4, 6, 32, 2).over_bicubic(subnets, "subnets")
    validate = validator(validation, [4], 32, torch.device("cpu"))
    expected = [validate(supernet.subnet_module(subnet))["over_bicubic"] for subnet in subnets]
    assert measured == pytest.approx(expected, abs=1e-9)
    assert measured[0] == measured[2] != measured[1]
