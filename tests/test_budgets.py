"""The file to ship within a budget, among random ones."""

import random
from dataclasses import replace

import pytest

from pipeline_src.budgets import Budget, Candidate, candidates, front, pick
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError


def random_files(chance: random.Random) -> list[Candidate]:
    """Return files with few different figures, so that many are level."""
    return [
        Candidate(
            net=f"net{index}", variant=chance.choice(["fp32", "ptq", "qat"]), runtime=chance.choice([*FORMATS]),
            scale=3, psnr_y=30 + chance.randrange(8) / 4, gain=1.0, ms=chance.randrange(1, 12) / 2, timed=(180, 320),
            runs=30, kib=float(chance.choice([20, 40, 80])), memory_mb=9.0, compared=True,
            left_out=chance.choice(["", "", "", "its latency has not settled"]),
        )
        for index in range(chance.randrange(1, 14))
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(50))
def test_the_choice_is_what_a_search_of_all_files_finds(seed: int) -> None:
    chance = random.Random(seed)
    files = random_files(chance)
    budget = Budget(ms=chance.choice([None, 2.0, 4.0]), kib=chance.choice([None, 40]), psnr_y=chance.choice([None, 31]))
    allowed = [file for file in files if budget.admits(file, ms=False) and not file.left_out]
    fitting = [file for file in allowed if budget.admits(file)]
    if not fitting:
        with pytest.raises(UserError):
            pick(files, budget)
        return
    choice = pick(files, budget)
    best = max(file.psnr_y for file in fitting)
    quickest = min(file.ms for file in fitting if file.psnr_y == best)
    assert (choice.best.psnr_y, choice.best.ms) == (best, quickest)
    better = [file for file in allowed if file.psnr_y > best]
    assert (choice.better is None) == (not better)
    if choice.better:
        assert choice.better.ms == min(file.ms for file in better) > budget.ms
    if choice.faster:
        assert choice.faster.ms < quickest
        assert choice.faster.psnr_y == max(file.psnr_y for file in allowed if file.ms < quickest)


def test_no_file_of_the_front_is_beaten_and_the_order_of_files_makes_no_difference() -> None:
    files = random_files(random.Random(3)) * 2
    best = front(files)
    for file in best:
        assert not [o for o in files if (o.ms < file.ms and o.psnr_y >= file.psnr_y) or
                    (o.ms <= file.ms and o.psnr_y > file.psnr_y)]  # fmt: skip
    assert front(reversed(files)) == best


def test_what_has_not_settled_or_gives_another_image_is_left_out() -> None:
    def row(variant: str, **others: object) -> dict[str, object]:
        key = {"variant": variant, "runtime": "onnx", "scale": 3, "set": "A", "psnr_y": 30.0}
        timed = {"lr_height": 180, "lr_width": 320, "p50_ms": 4.0, "settled": True, "runs": 30, "file_bytes": 2048}
        return key | timed | {"peak_memory_mb": None, "off_levels": 1.0, "disagrees": "", "fails": ""} | others

    rows = [
        row("bicubic", runtime="", psnr_y=28.0, p50_ms=None),
        row("fp32"),
        row("ptq", settled=False),
        row("qat", disagrees="gives another image here"),
    ]
    found = candidates("net", rows, 3, (360, 320), ["A"])
    assert [file.left_out for file in found] == [
        "", "its latency has not settled", "gives another image than at export"
    ]  # fmt: skip
    assert (found[0].gain, found[0].ms, found[0].kib, found[0].file) == (2.0, 8.0, 2.0, "fp32_x3.onnx")
    assert pick(found, Budget()).best == found[0]
    assert candidates("net", rows, 3, (360, 320), ["A", "B"]) == []
    assert candidates("net", [replace_with(r, fails="crashes") for r in rows], 3, (1, 1), ["A"]) == []
    assert replace(found[0], runtime="openvino_fp16").file == "fp32_x3_fp16.xml"


def replace_with(row: dict[str, object], **cells: object) -> dict[str, object]:
    return row | cells
