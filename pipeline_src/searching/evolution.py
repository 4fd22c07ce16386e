"""Evolve subnets by predicted quality and cost, and compare sets of subnets by these two."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_src.models.once_for_all.supernet import Subnet, Supernet

POPULATION = 50
Point = tuple[float, float]  # cost and quality


def unlimited(subnet: Subnet) -> float:
    """Return the excess of a subnet where there is no limit: 0."""
    return 0.0


@dataclass(frozen=True)
class Objectives:
    """What an evolution optimises.

    Attributes:
        cost: returns the cost of a subnet, to be minimised.
        quality: returns the predicted quality of a subnet, to be maximised.
        excess: returns by what share a subnet exceeds its limits. It meets them at 0 or below; above 0, less is better.
    """

    cost: Callable[[Subnet], float]
    quality: Callable[[Subnet], float]
    excess: Callable[[Subnet], float] = unlimited


def evolve(
    supernet: Supernet, scale: int, objectives: Objectives, candidates: int, seed: int, known: Sequence[Subnet]
) -> list[Subnet]:
    """Search the subnets of one scale by NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation, 2002).

    Args:
        supernet: whose subnets are searched.
        scale: the factor by which the subnets upscale.
        objectives: cost, quality and limits of a subnet.
        candidates: number of trials.
        seed: seed of the evolution.
        known: subnets to begin with; the first ``POPULATION`` of them are tried.

    Returns:
        The different subnets that were tried, in the order of their first trial.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    elastic = {gene: choices for gene, choices in supernet.genes.items() if gene != "scale"}
    tried: dict[tuple[int, ...], Subnet] = {}

    def evaluate(trial: Any) -> Point:
        genes = {gene: trial.suggest_categorical(gene, choices) for gene, choices in elastic.items()}
        subnet = supernet.subnet(genes | {"scale": scale})
        tried[tuple(subnet.values())] = subnet
        trial.set_constraint("excess", objectives.excess(subnet))
        return objectives.cost(subnet), objectives.quality(subnet)

    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    for subnet in known[:POPULATION]:
        # Genes of left-out layers are 0, which is not a choice; the sampler draws them instead.
        study.enqueue_trial({gene: subnet[gene] for gene in elastic if subnet[gene]})
    study.optimize(evaluate, n_trials=candidates)
    return list(tried.values())


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Return the indices of the Pareto-optimal points, the cheapest first; of equal points one."""
    best_quality, indices = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best_quality:
            best_quality = points[index][1]
            indices.append(index)
    return indices


def hypervolume(points: Sequence[Point], most: float) -> float:
    """Return the area that the points dominate between quality 0 and theirs, and between their cost and ``most``."""
    area, dominated_quality = 0.0, 0.0
    for index in pareto_front(points):
        cost, quality = points[index]
        if cost < most and quality > dominated_quality:
            area += (most - cost) * (quality - dominated_quality)
            dominated_quality = quality
    return area


def spread(points: Sequence[Point], count: int) -> list[int]:
    """Return the indices of up to ``count`` points, evenly spaced along the Pareto front with both of its ends."""
    front = pareto_front(points)
    if len(front) <= count:
        return front
    steps = [round(i * (len(front) - 1) / max(1, count - 1)) for i in range(count)]
    return [front[step] for step in dict.fromkeys(steps)]
