"""What a search is made of: costs, the latency table, the predictor and the evolution, each on what can be checked."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_net import calibrated

from pipeline_src.benchmarking import machine
from pipeline_src.compression.quantization import convert
from pipeline_src.config import Budget, LatencyTable, PinnedFile, Search
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.graph import reading
from pipeline_src.graph.folding import fold
from pipeline_src.graph.operations import Clamp, Convolution, OperationGraph
from pipeline_src.metrics.validation import validator
from pipeline_src.models.once_for_all import build
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching import costs, latency
from pipeline_src.searching.blocks import chain
from pipeline_src.searching.evolution import evolve, hypervolume, pareto_front, spread
from pipeline_src.searching.predictor import Predictor, rank_correlation
from pipeline_src.searching.quality import Judge, extract_subnet
from pipeline_src.searching.search import latency_table

PLAIN = {"space": "plain", "widths": [4, 6], "depths": [1, 2]}
MOBILE = {"space": "mobile", "widths": [1, 2], "depths": [1, 2], "kernels": [3, 5], "channels": 4, "hr_channels": 3}
WIDE = {"space": "plain", "widths": [4, 8, 12, 16, 20], "depths": [1, 2, 3]}
POINTS = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0), (2.0, 3.0), (2.0, 2.5)]

CONV, ANCHOR = Block("conv", 3, 8), Block("anchor", 8, 3, scale=2)
ROWS = pd.DataFrame(
    [
        asdict(block) | {"runtime": runtime, "precision": "int8", "height": 24, "width": 32, "threads": 1}
        | {"ms": ms, "cpu": "a toaster", "versions": "none"}
        for block, runtime, ms in (
            (CONV, "openvino", 1.5), (ANCHOR, "openvino", -0.25), (CONV, "tflite", 4.0), (ANCHOR, "tflite", 2.0)
        )
    ]
)  # fmt: skip


def spec(**changes: Any) -> LatencyTable:
    how = {"size": [24, 32], "runtimes": ["tflite"], "precisions": ["int8"], "threads": 1, "warmup": 1, "runs": 2}
    return LatencyTable.model_validate(how | {"max_seconds": 0.2, "check": 1} | changes)


def test_the_front_is_what_no_other_point_beats() -> None:
    assert pareto_front(POINTS) == [0, 1, 3]
    assert pareto_front(POINTS[::-1]) == [5, 1, 2], "of equal points one"
    assert pareto_front([(1.0, 2.0), (1.0, 3.0)]) == [1]
    assert pareto_front([]) == []


def test_hypervolume_is_the_area_below_the_front() -> None:
    assert hypervolume(POINTS, 5.0) == (5 - 1) * 1 + (5 - 2) * (3 - 1) + (5 - 4) * (5 - 3)
    assert hypervolume(POINTS, 4.0) == (4 - 1) * 1 + (4 - 2) * (3 - 1)
    assert hypervolume([(1.0, -1.0), (2.0, 0.5)], 3.0) == 0.5, "worse than bicubic counts for nothing"
    assert hypervolume([], 3.0) == 0


def test_spread_has_both_ends_and_the_middle() -> None:
    line = [(float(i), float(i)) for i in range(7)]
    assert spread(line, 3) == [0, 3, 6]
    assert spread(line[::-1], 2) == [6, 0]
    assert spread(line, 7) == spread(line, 99) == [*range(7)]
    assert spread([*line, (6.0, 1.0)], 4) == [0, 2, 4, 6]


class Problem:
    """Subnets of which cost and quality are known: wide layers are worth less and less, and the last ones the most."""

    def __init__(self, net: dict[str, Any] = WIDE) -> None:
        self.whole: Any = build([2], **net)

    def cost(self, subnet: dict[str, int]) -> float:
        return costs.mult_adds(self.whole.blocks(subnet)) / 1e9

    def quality(self, subnet: dict[str, int]) -> float:
        widths = [choice for gene, choice in subnet.items() if gene.startswith("width")]
        return float(sum((i + 1) * np.sqrt(width) for i, width in enumerate(widths)))

    def points(self, subnets: list[dict[str, int]]) -> list[tuple[float, float]]:
        return [(self.cost(subnet), self.quality(subnet)) for subnet in subnets]

    def every(self) -> list[dict[str, int]]:
        every = (
            dict(zip(self.whole.genes, genes, strict=True)) for genes in itertools.product(*self.whole.genes.values())
        )
        return list({tuple((subnet := self.whole.subnet(genes)).values()): subnet for genes in every}.values())

    def evolved(self, candidates: int, seed: int = 1, excess: Any = lambda subnet: 0.0) -> list[dict[str, int]]:
        ends = [self.whole.smallest(2), self.whole.largest(2)]
        return evolve(self.whole, 2, self.quality, self.cost, excess, candidates, seed, ends)

    def drawn(self, count: int) -> list[dict[str, int]]:
        chance = random.Random(1)
        return [self.whole.sample_subnet(chance, 2) for _ in range(count)]


def test_the_evolution_finds_the_front_that_random_draws_do_not() -> None:
    small, wide, candidates = Problem(PLAIN), Problem(), 1000
    points, every = small.points(small.evolved(200)), small.points(small.every())
    assert {points[i] for i in pareto_front(points)} == {every[i] for i in pareto_front(every)}
    most = wide.cost(wide.whole.largest(2))
    best, found, by_chance = (
        hypervolume(wide.points(subnets), most)
        for subnets in (wide.every(), wide.evolved(candidates), wide.drawn(candidates))
    )
    assert by_chance < found <= best
    assert best - found < 0.5 * (best - by_chance)


def test_the_evolution_is_that_of_its_seed_and_begins_with_what_is_known() -> None:
    problem = Problem()
    tried = problem.evolved(60)
    assert tried == problem.evolved(60) != problem.evolved(60, seed=2)
    assert tried[:2] == [problem.whole.smallest(2), problem.whole.largest(2)]
    assert 40 < len(tried) == len({tuple(subnet.values()) for subnet in tried}) <= 60
    assert tried == [problem.whole.subnet(subnet) for subnet in tried]


def test_the_evolution_goes_where_the_limits_are_met() -> None:
    problem = Problem()
    every = problem.every()
    limit = sorted(map(problem.cost, every))[len(every) // 20]
    budget = costs.Limit("Mult-Adds", limit, lambda blocks: costs.mult_adds(blocks) / 1e9)
    met: list[bool] = []

    def excess(subnet: dict[str, int]) -> float:
        met.append(budget.excess(problem.whole.blocks(subnet)) <= 0)
        return budget.excess(problem.whole.blocks(subnet))

    tried = problem.evolved(300, excess=excess)
    assert sum(met[:50]) < 10
    assert sum(met[-50:]) > 30
    best, found = (
        max(problem.quality(subnet) for subnet in subnets if problem.cost(subnet) <= limit)
        for subnets in (every, tried)
    )
    assert 0.97 * best < found <= best


def test_the_predictor_orders_subnets_that_it_has_not_seen() -> None:
    problem = Problem()
    samples = problem.drawn(100)
    figures = [problem.quality(subnet) for subnet in samples]
    predictor = Predictor(problem.whole, samples[:60], figures[:60])
    assert rank_correlation(predictor.predict(samples[60:]), figures[60:]) > 0.9
    assert predictor.predict_one(samples[70]) == pytest.approx(predictor.predict(samples[70:71])[0])
    again = Predictor(problem.whole, samples[:60], figures[:60])
    assert again.predict(samples[60:]) == predictor.predict(samples[60:])


def test_a_predictor_of_too_few_subnets_is_refused() -> None:
    problem = Problem()
    nine = [*{tuple(subnet.values()): subnet for subnet in problem.drawn(30)}.values()][:9]
    with pytest.raises(UserError, match=r"has 9 measured subnets to learn from and needs 10; raise search's samples"):
        Predictor(problem.whole, nine * 3, [1.0] * 27)


def test_rank_correlation_is_one_of_the_same_order() -> None:
    assert rank_correlation([0.1, 0.2, 0.9], [1, 5, 6]) == 1
    assert rank_correlation([0.1, 0.2, 0.9], [6, 5, 1]) == -1
    assert rank_correlation([0.1, 0.2, 0.9], [5, 1, 6]) == pytest.approx(1 / 3)


def of_plain() -> tuple[Block, ...]:
    """×2, of 4 filters, then 6, then 6."""
    whole: Any = build([2], **PLAIN)
    return tuple(whole.blocks(whole.subnet(whole.largest(2) | {"depth": 1, "width1": 4})))


def test_costs_of_a_plain_net_by_hand() -> None:
    weights = 9 * (3 * 4 + 4 * 6 + 6 * 6 + 6 * 12)
    assert costs.parameters(of_plain()) == weights + 4 + 6 + 6 + 12
    assert costs.mult_adds(of_plain()) == weights * 640 * 360
    held = (3 * 12 + 3) * 10 * 20 + costs.parameters(of_plain())
    assert costs.memory_mb(of_plain(), "int8", [10, 20]) == pytest.approx(held / 1e6)
    assert costs.memory_mb(of_plain(), "float32", [10, 20]) == pytest.approx(4 * held / 1e6)


def test_costs_of_a_mobile_net_by_hand() -> None:
    whole: Any = build([4], **MOBILE)
    subnet = {gene: choices[-1] for gene, choices in whole.genes.items()} | {f"depth{i}": 1 for i in (1, 2, 3, 4)}
    blocks = whole.blocks(whole.subnet(subnet))
    block = 4 * 8 + 8 * 5**2 + 8 * 4
    ends = 9 * (3 * 4 + 4 * 12 + 3 * 12 + 3 * 3)
    assert costs.parameters(blocks) == ends + 4 * (block + 8 + 8 + 4) + 4 + 12 + 12 + 3
    of_pixel = 9 * (3 * 4 + 4 * 12 + 4 * 3 * 12 + 16 * 3 * 3) + 4 * block
    assert costs.mult_adds(blocks) == of_pixel * 320 * 180
    held = (16 * 3 * 3 + 3) * 10 * 20 + costs.parameters(blocks)
    assert costs.memory_mb(blocks, "int8", [10, 20]) == pytest.approx(held / 1e6)


def test_limits_are_those_of_the_budget() -> None:
    net = (CONV, ANCHOR)
    table, largest = latency.Table(ROWS), [CONV, CONV, ANCHOR]
    budget = {"scale": 2, "ms": 3.0, "share": 0.5, "mult_adds": 1e9, "parameters": 2000.0, "memory_mb": 0.01}
    limits = costs.limits(Budget.model_validate(budget), table, largest, [10, 20])
    assert [limit.name for limit in limits] == [
        "ms in tflite int8",
        "of the largest subnet's ms in tflite int8",
        "Mult-Adds",
        "parameters",
        "MB in tflite int8",
    ]
    found = [limit.cost(net) for limit in limits]
    assert found == [6.0, 0.6, costs.mult_adds(net), costs.parameters(net), costs.memory_mb(net, "int8", [10, 20])]
    assert [limit.excess(net) for limit in limits[:2]] == pytest.approx([1.0, 0.2])
    assert limits[0].excess([ANCHOR, CONV][:1]) < 0
    (only,) = costs.limits(Budget(scale=2, runtime="openvino", share=0.5), table, largest, [10, 20])
    assert only.cost(net) == pytest.approx(1.25 / 2.75)


def test_the_table_adds_up_blocks_of_its_device() -> None:
    table = latency.Table(ROWS)
    assert table.devices == [("openvino", "int8"), ("tflite", "int8")]
    assert table.ms([CONV, CONV, ANCHOR], ("openvino", "int8")) == 2 * 1.5 - 0.25
    assert table.ms([CONV, ANCHOR], ("tflite", "int8")) == 6
    with pytest.raises(UserError, match=r"has no Block\(kind='conv', inputs=9, .* in tflite int8; measure it anew"):
        table.ms([CONV, Block("conv", 9, 9)], ("tflite", "int8"))
    with pytest.raises(UserError, match=r"has no Block\(kind='anchor'.* in tflite float32"):
        table.ms([ANCHOR], ("tflite", "float32"))


def start(path: Path) -> PinnedFile:
    return PinnedFile(file=str(path), sha256=sha256(path)[:12])


def test_a_table_of_other_hardware_is_read_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ROWS.assign(remark="mine").to_csv(tmp_path / "table.csv", index=False)
    found = latency.read(start(tmp_path / "table.csv"), spec())
    pd.testing.assert_frame_equal(found, ROWS[latency.COLUMNS])
    here = machine.describe(1)["cpu"]
    said = f"the latency table {tmp_path / 'table.csv'} was measured on a toaster, and this is {here}\n"
    assert capsys.readouterr().err == said
    ROWS.assign(cpu=here).to_csv(tmp_path / "table.csv", index=False)
    latency.read(start(tmp_path / "table.csv"), spec())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"is no latency table \(.*No such file.*\); correct latency\.table"),
        ("", r"is no latency table \(No columns to parse from file\); correct latency\.table"),
        (ROWS.drop(columns="expand").to_csv(), "is no latency table: it lacks the column expand; correct"),
        (ROWS.drop(columns="ms").to_csv(), "it lacks the column ms; correct latency.table"),
        (ROWS.assign(width=40).to_csv(), r"of images of \[\(24, 40\)\], but latency\.size is \[24, 32\]; correct one"),
        (ROWS[:0].to_csv(), r"is of images of \[\], but latency\.size is \[24, 32\]"),
    ],
    ids=["missing", "empty", "no expand", "no ms", "other size", "no rows"],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=said) as error:
        latency.read(start(path) if path.exists() else PinnedFile(file=str(path), sha256="0" * 8), spec())
    assert str(path) in str(error.value)


def test_another_table_under_the_same_name_is_told(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "table.csv")
    there = start(tmp_path / "table.csv")
    ROWS.assign(ms=1.0).to_csv(tmp_path / "table.csv")
    with pytest.raises(UserError, match=rf"has the SHA-256 .*, not latency\.table's {there.sha256}; correct one"):
        latency.read(there, spec())


@pytest.fixture
def cores() -> Iterator[None]:
    """Measuring pins this process, which has other tests to run."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    yield
    if before:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("cores")
def test_a_search_that_was_stopped_goes_on_with_the_table_that_it_measured(tmp_path: Path) -> None:
    whole: Any = build([4], **PLAIN)
    numbers: dict[str, Any] = dict.fromkeys(("images", "samples", "candidates", "promising"), 1) | {"crop": 16}
    budgets = {"scales": [4], "seeds": [1], "nets": {"light": {"scale": 4, "parameters": 1e3}}}
    how = Search.model_validate(numbers | budgets | {"latency": spec().model_dump()})
    first, second, anew = (latency_table(whole, how, tmp_path / name) for name in ("kept", "kept", "other"))
    for once, again in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(once, again)
    assert not first[0]["ms"].equals(anew[0]["ms"])


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("net", [PLAIN, MOBILE], ids=lambda net: net["space"])
def test_every_block_is_measured_and_whole_nets_beside_them(tmp_path: Path, net: dict[str, Any]) -> None:
    whole: Any = build([2, 4], **net)
    nets = {"small": tuple(whole.blocks(whole.smallest(4))), "large": tuple(whole.blocks(whole.largest(2)))}
    how = spec(runtimes=["tflite", "openvino"], precisions=["int8", "float32"])
    rows, checks = latency.measure(whole.all_blocks(), nets, how, tmp_path)
    devices = [(runtime, precision) for precision in ("int8", "float32") for runtime in ("tflite", "openvino")]
    assert [*rows] == latency.COLUMNS
    blocks = [Block(*row) for row in rows[latency.BLOCK].itertuples(index=False)]
    found = Counter(zip(rows["runtime"], rows["precision"], blocks, strict=True))
    assert found == Counter((*device, block) for device in devices for block in whole.all_blocks())
    assert np.isfinite(rows["ms"]).all()
    assert {*rows["cpu"]} == {machine.describe(1)["cpu"]}
    assert rows[["height", "width", "threads"]].drop_duplicates().to_numpy().tolist() == [[24, 32, 1]]
    assert [*checks] == latency.CHECK
    assert [*zip(checks["runtime"], checks["precision"], checks["subnet"], strict=True)] == [
        (*device, name) for device in devices for name in nets
    ]
    assert (checks["ms"] > 0).all()
    rows.to_csv(tmp_path / "table.csv", index=False)
    table = latency.Table(latency.read(start(tmp_path / "table.csv"), how))
    for check in checks.to_dict("records"):
        assert table.ms(nets[check["subnet"]], (check["runtime"], check["precision"])) == pytest.approx(
            check["by_table"]
        )
        assert check["error"] == pytest.approx(check["by_table"] / check["ms"] - 1)


def operations(net: OperationGraph) -> Counter[Any]:
    """Count a net's operations by class, channels and fields, without the clamp, which int8 does not need."""
    return Counter(
        (type(operation), *described(operation)) for operation in net.operations if not isinstance(operation, Clamp)
    )


def described(operation: Any) -> Iterator[Any]:
    fields = dict(vars(operation))
    for end in ("inputs", "outputs"):
        yield tuple(x.channels for x in fields.pop(end))
    if isinstance(operation, Convolution):
        weights = fields.pop("weights")
        yield weights.values.shape, weights.values.dtype, weights.groups, weights.padding
    yield tuple(fields.items())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("net", [PLAIN, MOBILE], ids=lambda net: net["space"])
def test_the_operations_of_the_blocks_are_those_of_the_net(net: dict[str, Any], scale: int) -> None:
    torch.manual_seed(0)
    whole: Any = build([2, 4], **net)
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    subnet = whole.sample_subnet(random.Random(1), scale)
    real = extract_subnet(whole, subnet)
    for int8, graphs in ((False, fold(real)), (True, convert(calibrated(real)))):
        made = chain(whole.blocks(subnet), int8)
        assert [*made.inputs, *made.outputs] == ["lr", "sr"]
        assert operations(made) == operations(reading.read(graphs.at_scale(scale)))


def test_a_block_by_itself_takes_what_it_needs() -> None:
    whole: Any = build([4], **MOBILE)
    *_, block, tail = whole.blocks(whole.largest(4))
    ends = [(chain([one], True).inputs, chain([one], True).outputs) for one in (ANCHOR, block, tail, CONV)]
    assert [({name: x.channels for name, x in ins.items()}, [*outs]) for ins, outs in ends] == [
        ({"x": 8, "lr": 3}, ["sr"]),
        ({"x": 4}, ["y"]),
        ({"x": 4, "skip": 4, "lr": 3}, ["sr"]),
        ({"lr": 3}, ["y"]),
    ]


def test_a_judge_measures_as_the_validation_does(train_h5: Path) -> None:
    torch.manual_seed(0)
    whole: Any = build([2, 4], **PLAIN)
    for tail in whole.tails.values():
        torch.nn.init.normal_(tail.weight, std=0.02)
    validation = ImagePairs(train_h5, "validation")
    subnets = [whole.smallest(4), whole.largest(4), whole.smallest(4)]
    found = Judge(whole, validation, 4, 6, 32, 2).over_bicubic(subnets, "subnets")
    validate = validator(validation, [4], 32, torch.device("cpu"))
    expected = [validate(whole.subnet_module(subnet))["over_bicubic"] for subnet in subnets]
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[0] == found[2] != found[1]
