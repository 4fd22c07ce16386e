"""The search for the best subnets of each scale, guided by a latency table and a predictor of quality."""

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_src.config import Budget, Search
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet
from pipeline_src.searching import costs, evolution
from pipeline_src.searching.evolution import Objectives, Point
from pipeline_src.searching.latency import Table
from pipeline_src.searching.predictor import Predictor, rank_correlation
from pipeline_src.searching.quality import SubnetEvaluator

Rows = list[dict[str, Any]]


def search_scales(
    supernet: Supernet, spec: Search, validation: ImagePairs, table: Table
) -> tuple[dict[str, Subnet], Rows, dict[str, Any]]:
    """Search every scale of ``spec``.

    Args:
        supernet: the trained supernet, on the CPU.
        spec: the section of params.yaml.
        validation: the images that the quality of subnets is measured on.
        table: the latency table.

    Returns:
        The best subnet of each budget by its name, a row of subnets.csv for every measured subnet, and the metrics by
        name and scale.

    Raises:
        UserError: if the images, the subnets or the budgets do not allow the search.
    """
    best_subnets: dict[str, Subnet] = {}
    rows: Rows = []
    metrics: dict[str, Any] = {}
    for scale in spec.scales:
        evaluator = SubnetEvaluator(supernet, validation, scale, spec.images, spec.crop, os.cpu_count() or 1)
        search = ScaleSearch(supernet, scale, spec, evaluator, table)
        metrics |= {f"{key}_x{scale}": value for key, value in search.run().items()}
        budgets = {name: budget for name, budget in spec.nets.items() if budget.scale == scale}
        best_subnets |= {name: search.best_subnet(name, budget) for name, budget in budgets.items()}
        rows += search.rows(best_subnets)
    return best_subnets, rows, metrics


def tracked_metrics(metrics: dict[str, Any], seeds: Sequence[int]) -> dict[str, float]:
    """Return the metrics of a search as single figures.

    Args:
        metrics: those of :func:`search_scales` and, by device, ``latency_error``.
        seeds: the seeds of the search.

    Returns:
        For a metric per seed its mean under its name, such as ``kendall_tau_x4``, and ``<name>/seed_<seed>``; for
        one per device ``<name>/<device>``.
    """
    figures: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            figures |= {f"{name}/{device}": figure for device, figure in value.items()}
        elif isinstance(value, list):
            figures[name] = sum(value) / len(value)
            figures |= {f"{name}/seed_{seed}": figure for seed, figure in zip(seeds, value, strict=True)}
        else:
            figures[name] = value
    return figures


@dataclass(frozen=True)
class MeasuredSubnet:
    """A subnet whose quality was measured.

    Attributes:
        by: what asked for it: ``random``, ``search``, or the name of a budget.
        seed: seed of that search.
        subnet: its genes.
        over_bicubic: its quality in dB.
    """

    by: str
    seed: int
    subnet: Subnet
    over_bicubic: float


@dataclass(frozen=True)
class _SeedResult:
    """The result of the search with one seed."""

    kendall_tau: float
    hypervolume: float
    random_hypervolume: float
    seconds_a_subnet: float
    seconds_of_candidates: float


class ScaleSearch:
    """The search among the subnets of one scale.

    Args:
        supernet: the trained supernet.
        scale: the factor by which the subnets upscale.
        spec: the section of params.yaml.
        evaluator: measures the quality of subnets of this scale.
        latency: the latency table.

    Attributes:
        measured: every measured subnet, by its genes.
    """

    def __init__(
        self, supernet: Supernet, scale: int, spec: Search, evaluator: SubnetEvaluator, latency: Table
    ) -> None:
        self.supernet, self.scale, self.spec = supernet, scale, spec
        self.evaluator, self.latency = evaluator, latency
        self.measured: dict[tuple[int, ...], MeasuredSubnet] = {}

    def cost(self, subnet: Subnet) -> float:
        """Return the latency in milliseconds in the first runtime and precision of the table."""
        return self.latency.ms(self.supernet.blocks(subnet), self.latency.devices[0])

    def run(self) -> dict[str, Any]:
        """Search with each seed, and measure as many random subnets for comparison.

        Returns:
            Kendall's τ of the predictor and the hypervolumes of the search and of the random subnets, each per seed;
            the number of subnets; and the seconds that measuring a subnet and rating all candidates took at most.

        Raises:
            UserError: if the blocks are too fast to measure, or there are too few subnets.
        """
        if self.cost(self.supernet.largest(self.scale)) <= 0:
            raise UserError(costs.TOO_FAST)
        results = [self._run_seed(seed) for seed in self.spec.seeds]
        per_seed = ("kendall_tau", "hypervolume", "random_hypervolume")
        return {name: [getattr(result, name) for result in results] for name in per_seed} | {
            "subnets": self.supernet.count_subnets(self.scale),
            "seconds_a_subnet": max(result.seconds_a_subnet for result in results),
            "seconds_of_candidates": max(result.seconds_of_candidates for result in results),
        }

    def best_subnet(self, name: str, budget: Budget) -> Subnet:
        """Search within a budget, and return the best measured subnet that meets it.

        Args:
            name: of the budget in params.yaml.
            budget: the limits, for this scale.

        Raises:
            UserError: if no subnet meets the budget; it says what the cheapest subnet needs.
        """
        supernet = self.supernet
        limits = costs.limits(
            budget, self.latency, supernet.blocks(supernet.largest(self.scale)), self.spec.latency.size
        )

        def excess(subnet: Subnet) -> float:
            return max((limit.excess(supernet.blocks(subnet)) for limit in limits), default=0.0)

        known = [measured.subnet for measured in self.measured.values()]
        predictor = Predictor(supernet, known, [measured.over_bicubic for measured in self.measured.values()])
        tried = self._evolve(predictor, self.spec.seeds[0], sorted(known, key=excess), excess)
        feasible = [subnet for subnet in tried if excess(subnet) <= 0]
        if not feasible:
            cheapest = min([*tried, *known, supernet.smallest(self.scale)], key=excess)
            needed = ", ".join(f"{limit.cost(supernet.blocks(cheapest)):.4g} {limit.name}" for limit in limits)
            allowed = ", ".join(f"{limit.most:.4g} {limit.name}" for limit in limits)
            raise UserError(
                f"no subnet meets search's nets.{name} ({allowed}): the cheapest one needs {needed}; raise it"
            )
        promising = sorted(feasible, key=predictor.predict_one, reverse=True)[: self.spec.promising]
        self._measure(promising, name, self.spec.seeds[0])
        within_budget = [measured for measured in self.measured.values() if excess(measured.subnet) <= 0]
        return max(within_budget, key=lambda measured: measured.over_bicubic).subnet

    def rows(self, best_subnets: dict[str, Subnet]) -> Rows:
        """Return the rows of subnets.csv.

        Args:
            best_subnets: the subnets that will be extracted, by name.

        Returns:
            A row for every measured subnet: what asked for it, its genes, quality and costs, the name that it will be
            extracted under, and whether it is Pareto-optimal.
        """
        rows = [self._row(measured, best_subnets) for measured in self.measured.values()]
        searched_ms = "ms_" + "_".join(self.latency.devices[0])
        front = {*evolution.pareto_front([(row[searched_ms], row["over_bicubic"]) for row in rows])}
        return [row | {"front": index in front} for index, row in enumerate(rows)]

    def _run_seed(self, seed: int) -> _SeedResult:
        spec, cost = self.spec, self.cost
        sampled = self._sample(seed, spec.samples + spec.promising)
        start = time.perf_counter()
        qualities = self._measure(sampled, "random", seed)
        seconds_a_subnet = (time.perf_counter() - start) / len(sampled)
        training, held_out = sampled[: spec.samples], sampled[spec.samples :]
        predictor = Predictor(self.supernet, training, qualities[: spec.samples])
        kendall_tau = rank_correlation(predictor.predict(held_out), qualities[spec.samples :])
        start = time.perf_counter()
        candidates = self._evolve(predictor, seed, training, evolution.unlimited)
        seconds_of_candidates = time.perf_counter() - start
        predicted: list[Point] = [*zip(map(cost, candidates), predictor.predict(candidates), strict=True)]
        promising = [candidates[i] for i in evolution.spread(predicted, spec.promising)]
        searched = [*qualities[: spec.samples], *self._measure(promising, "search", seed)]
        most = cost(self.supernet.largest(self.scale))
        return _SeedResult(
            kendall_tau,
            evolution.hypervolume([*zip(map(cost, training + promising), searched, strict=True)], most),
            evolution.hypervolume([*zip(map(cost, sampled), qualities, strict=True)], most),
            seconds_a_subnet,
            seconds_of_candidates,
        )

    def _row(self, measured: MeasuredSubnet, best_subnets: dict[str, Subnet]) -> dict[str, Any]:
        blocks = self.supernet.blocks(measured.subnet)
        latencies = {f"ms_{'_'.join(device)}": self.latency.ms(blocks, device) for device in self.latency.devices}
        precisions, size = self.spec.latency.precisions, self.spec.latency.size
        memory = {f"memory_mb_{precision}": costs.memory_mb(blocks, precision, size) for precision in precisions}
        return {
            "by": measured.by,
            "seed": measured.seed,
            **measured.subnet,
            "over_bicubic": measured.over_bicubic,
            **latencies,
            "mult_adds": costs.mult_adds(blocks),
            "parameters": costs.parameters(blocks),
            **memory,
            "net": ", ".join(name for name, best in best_subnets.items() if best == measured.subnet),
        }

    def _sample(self, seed: int, count: int) -> list[Subnet]:
        """Return different random subnets."""
        if (available := self.supernet.count_subnets(self.scale)) < 2 * count:
            raise UserError(f"the net has {available} subnets at ×{self.scale}, too few to draw {count}; lower samples")
        generator = random.Random(seed)  # noqa: S311
        sampled: dict[tuple[int, ...], Subnet] = {}
        while len(sampled) < count:
            subnet = self.supernet.sample_subnet(generator, self.scale)
            sampled[tuple(subnet.values())] = subnet
        return list(sampled.values())

    def _evolve(
        self, predictor: Predictor, seed: int, known: Sequence[Subnet], excess: Callable[[Subnet], float]
    ) -> list[Subnet]:
        objectives = Objectives(self.cost, predictor.predict_one, excess)
        start = [self.supernet.smallest(self.scale), self.supernet.largest(self.scale), *known]
        return evolution.evolve(self.supernet, self.scale, objectives, self.spec.candidates, seed, start)

    def _measure(self, subnets: Sequence[Subnet], by: str, seed: int) -> list[float]:
        """Measure subnets, keep them in ``measured``, and return their qualities."""
        qualities = self.evaluator.over_bicubic(subnets, f"{by}, seed {seed}, ×{self.scale}")
        for subnet, quality in zip(subnets, qualities, strict=True):
            self.measured.setdefault(tuple(subnet.values()), MeasuredSubnet(by, seed, subnet, quality))
        return qualities
