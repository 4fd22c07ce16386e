"""The stage export, where what the stage quantize wrote is not whole."""

from pathlib import Path

import pytest
import yaml
from library_nets import a_run as a_run
from library_nets import shelf as shelf
from shared import ROOT

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.stages.export import export


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ('{"other": {}}', r"lacks the net good; run `python -m pipeline_src\.stages\.quantize good`, or `dvc repro`$"),
        ('{"good": {"fp32": 30.5}}', r"is damaged: good\.fp32: Input should be an object; run `python -m .* good`"),
        ('{"good": {"fp32"', r"is not valid JSON \(.*\); run `python -m .* good`"),
    ],
)
def test_damaged_metrics_are_one_sentence(
    a_run: Path, monkeypatch: pytest.MonkeyPatch, metrics: str, sentence: str
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["systems"]["good"] = params["systems"]["abpn_x3"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    file = paths.results("quantize", "good") / "metrics.json"
    file.write_text(metrics)
    with pytest.raises(UserError, match=rf"^{file} {sentence}"):
        export("good")
