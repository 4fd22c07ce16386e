"""The device and the data type of a training."""

import pytest
import torch

from pipeline_src.training.devices import precision_of


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_no_cpu_chooses_the_data_type(precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    for native in (True, False):
        features = {"avx512_bf16": native, "amx_bf16": native, "bf16": native}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda features=features: features)
        assert precision_of(precision, torch.device("cpu")) is dtype
