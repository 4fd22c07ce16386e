"""The search at one scale, from the latency table to the subnets that are extracted."""

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline_src.config import Budget, Search
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.files import whole_folder
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet
from pipeline_src.searching import costs, evolution, latency
from pipeline_src.searching.latency import Table
from pipeline_src.searching.predictor import Predictor, rank_correlation
from pipeline_src.searching.quality import Judge

Rows = list[dict[str, Any]]


def search_scales(
    supernet: Supernet, spec: Search, validation: ImagePairs, table: Table
) -> tuple[dict[str, Subnet], Rows, dict[str, Any]]:
    """Search every scale of ``spec``.

    Returns:
        The best subnet of each budget by its name, a row for every measured subnet, and the metrics by name and scale.
    """
    picked: dict[str, Subnet] = {}
    rows: Rows = []
    metrics: dict[str, Any] = {}
    for scale in spec.scales:
        judge = Judge(supernet, validation, scale, spec.images, spec.crop, os.cpu_count() or 1)
        search = ScaleSearch(supernet, scale, spec, judge, table)
        metrics |= {f"{key}_x{scale}": value for key, value in search.run().items()}
        picked |= {name: search.best(name, budget) for name, budget in spec.nets.items() if budget.scale == scale}
        rows += search.table(picked)
    return picked, rows, metrics


def latency_table(supernet: Supernet, spec: Search, kept: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The latency table, measured here or read, and where it was measured the check of its sums.

    What is measured stays in the folder ``kept``, so that a search that was stopped goes on with the same figures.
    """
    if spec.latency.table:
        return latency.read(spec.latency.table, spec.latency), pd.DataFrame(columns=latency.CHECK)
    files = [kept / name for name in ("latency.csv", "check.csv")]
    if not kept.exists():
        with whole_folder(kept) as aside:
            for file, rows in zip(files, _measured(supernet, spec), strict=True):
                rows.to_csv(aside / file.name, index=False)
    table, check = map(pd.read_csv, files)
    return table, check


def _measured(supernet: Supernet, spec: Search) -> tuple[pd.DataFrame, pd.DataFrame]:
    chance = random.Random(0)  # noqa: S311
    drawn = [supernet.sample_subnet(chance, scale) for scale in spec.scales for _ in range(spec.latency.check)]
    nets = {" ".join(map(str, subnet.values())): tuple(supernet.blocks(subnet)) for subnet in drawn}
    with TemporaryDirectory() as folder:
        return latency.measure(supernet.all_blocks(), nets, spec.latency, Path(folder))


def median_error(checks: pd.DataFrame) -> dict[str, float]:
    """Of each runtime and precision the median of the table's relative errors, without their signs."""
    groups = checks.assign(error=checks["error"].astype(float).abs()).groupby(["runtime", "precision"])
    return {f"{runtime} {precision}": float(rows["error"].median()) for (runtime, precision), rows in groups}


class ScaleSearch:
    """The search at one scale: every seed by itself, each with a random search of as many measurements beside it."""

    def __init__(self, supernet: Supernet, scale: int, spec: Search, judge: Judge, latency: Table) -> None:
        self.supernet, self.scale, self.spec, self.judge, self.latency = supernet, scale, spec, judge, latency
        self.found: dict[tuple[int, ...], dict[str, Any]] = {}  # all that was measured, by its genes

    def cost(self, subnet: Subnet) -> float:
        """Milliseconds in the first runtime and precision of the table."""
        return self.latency.ms(self.supernet.blocks(subnet), self.latency.devices[0])

    def run(self) -> dict[str, Any]:
        """Search; what it came to."""
        spec, most = self.spec, self.cost(self.supernet.largest(self.scale))
        if most <= 0:
            raise UserError(costs.TOO_SHORT)
        figures: dict[str, list[float]] = {"kendall_tau": [], "hypervolume": [], "random_hypervolume": []}
        seconds = {"subnet": 0.0, "candidates": 0.0}
        for seed in spec.seeds:
            drawn = self._draw(seed, spec.samples + spec.promising)
            start = time.perf_counter()
            measured = self._measure(drawn, "random", seed)
            seconds["subnet"] = max(seconds["subnet"], (time.perf_counter() - start) / len(drawn))
            samples, held_out = drawn[: spec.samples], drawn[spec.samples :]
            predictor = Predictor(self.supernet, samples, measured[: spec.samples])
            tau = rank_correlation(predictor.predict(held_out), measured[spec.samples :])
            start = time.perf_counter()
            tried = self._evolve(predictor, seed, samples, lambda subnet: 0.0)
            seconds["candidates"] = max(seconds["candidates"], time.perf_counter() - start)
            points = [*zip(map(self.cost, tried), predictor.predict(tried), strict=True)]
            promising = [tried[i] for i in evolution.spread(points, spec.promising)]
            better = self._measure(promising, "search", seed)
            of_search = [*zip(map(self.cost, samples + promising), measured[: spec.samples] + better, strict=True)]
            of_random = [*zip(map(self.cost, drawn), measured, strict=True)]
            for key, value in (
                ("kendall_tau", tau),
                ("hypervolume", evolution.hypervolume(of_search, most)),
                ("random_hypervolume", evolution.hypervolume(of_random, most)),
            ):
                figures[key].append(value)
        return figures | {
            "subnets": self.supernet.count_subnets(self.scale),
            "seconds_a_subnet": seconds["subnet"],
            "seconds_of_candidates": seconds["candidates"],
        }

    def best(self, name: str, budget: Budget) -> Subnet:
        """The best measured subnet within a budget; UserError, with what the cheapest one needs, if there is none."""
        size, supernet = self.spec.latency.size, self.supernet
        limits = costs.limits(budget, self.latency, supernet.blocks(supernet.largest(self.scale)), size)

        def excess(subnet: Subnet) -> float:
            return max((limit.excess(supernet.blocks(subnet)) for limit in limits), default=0.0)

        known = [row["subnet"] for row in self.found.values()]
        predictor = Predictor(supernet, known, [row["over_bicubic"] for row in self.found.values()])
        tried = self._evolve(predictor, self.spec.seeds[0], sorted(known, key=excess), excess)
        fitting = [subnet for subnet in tried if excess(subnet) <= 0]
        if not fitting:
            cheapest = min([*tried, *known, supernet.smallest(self.scale)], key=excess)
            needs = ", ".join(f"{limit.cost(supernet.blocks(cheapest)):.4g} {limit.name}" for limit in limits)
            asked = ", ".join(f"{limit.most:.4g} {limit.name}" for limit in limits)
            raise UserError(f"no subnet meets search's nets.{name} ({asked}): the cheapest one needs {needs}; raise it")
        promising = sorted(fitting, key=predictor.predict_one, reverse=True)[: self.spec.promising]
        self._measure(promising, name, self.spec.seeds[0])
        within = [row for row in self.found.values() if excess(row["subnet"]) <= 0]
        best: Subnet = max(within, key=lambda row: row["over_bicubic"])["subnet"]
        return best

    def table(self, picked: dict[str, Subnet]) -> Rows:
        """A row for every measured subnet: who asked for it, what it is, how good, and what it costs."""
        rows = []
        for row in self.found.values():
            blocks = self.supernet.blocks(row["subnet"])
            by_device = {"_".join(d): self.latency.ms(blocks, d) for d in self.latency.devices}
            memory = {p: costs.memory_mb(blocks, p, self.spec.latency.size) for p in self.spec.latency.precisions}
            rows.append(
                {"by": row["by"], "seed": row["seed"], **row["subnet"], "over_bicubic": row["over_bicubic"]}
                | {f"ms_{device}": ms for device, ms in by_device.items()}
                | {"mult_adds": costs.mult_adds(blocks), "parameters": costs.parameters(blocks)}
                | {f"memory_mb_{precision}": mb for precision, mb in memory.items()}
                | {"net": ", ".join(name for name, subnet in picked.items() if subnet == row["subnet"])}
            )
        first = "ms_" + "_".join(self.latency.devices[0])
        on_front = {*evolution.pareto_front([(row[first], row["over_bicubic"]) for row in rows])}
        return [row | {"front": index in on_front} for index, row in enumerate(rows)]

    def _draw(self, seed: int, count: int) -> list[Subnet]:
        if (there := self.supernet.count_subnets(self.scale)) < 2 * count:
            raise UserError(f"the net has {there} subnets at ×{self.scale}, too few to draw {count}; lower samples")
        chance = random.Random(seed)  # noqa: S311
        drawn: dict[tuple[int, ...], Subnet] = {}
        while len(drawn) < count:
            subnet = self.supernet.sample_subnet(chance, self.scale)
            drawn[tuple(subnet.values())] = subnet
        return list(drawn.values())

    def _evolve(
        self, predictor: Any, seed: int, known: Sequence[Subnet], excess: Callable[[Subnet], float]
    ) -> list[Subnet]:

        ends = [self.supernet.smallest(self.scale), self.supernet.largest(self.scale)]
        start = [*ends, *known]
        count = self.spec.candidates
        return evolution.evolve(self.supernet, self.scale, predictor.predict_one, self.cost, excess, count, seed, start)

    def _measure(self, subnets: Sequence[Subnet], by: str, seed: int) -> list[float]:
        figures: list[float] = self.judge.over_bicubic(subnets, f"{by}, seed {seed}, ×{self.scale}")
        for subnet, figure in zip(subnets, figures, strict=True):
            row = {"by": by, "seed": seed, "subnet": subnet, "over_bicubic": figure}
            self.found.setdefault(tuple(subnet.values()), row)
        return figures
