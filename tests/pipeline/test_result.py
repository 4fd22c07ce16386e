"""The committed result of the default run keeps what the README says of it."""

import json
from pathlib import Path

METRICS = json.loads((Path(__file__).parents[2] / "results/report/metrics.json").read_text())


def test_abpn_beats_bicubic_by_half_a_decibel_and_int8_keeps_it() -> None:
    quality = METRICS["abpn_x3"]["x3"]["samples_heldout"]
    assert quality["psnr_y_fp32"] - quality["psnr_y_bicubic"] >= 0.5
    assert abs(quality["psnr_y_fp32"] - quality["psnr_y_qat"]) <= 0.10
    assert abs(quality["psnr_y_fp32"] - quality["psnr_y_ptq"]) <= 0.10
