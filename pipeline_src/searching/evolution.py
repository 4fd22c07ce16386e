"""Evolve subnets by predicted quality and cost, and measure how good a set of them is."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from pipeline_src.models.once_for_all.supernet import Subnet, Supernet

POPULATION = 50
Point = tuple[float, float]  # cost and quality


def evolve(
    supernet: Supernet,
    scale: int,
    predicted: Callable[[Subnet], float],
    cost: Callable[[Subnet], float],
    excess: Callable[[Subnet], float],
    candidates: int,
    seed: int,
    known: Sequence[Subnet],
) -> list[Subnet]:
    """Return the different subnets that NSGA-II (Deb et al., 2002) tries in ``candidates`` trials.

    It starts from the ``known`` subnets. A subnet whose ``excess`` is above 0 breaks a limit; a smaller excess is
    better.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried: dict[tuple[int, ...], Subnet] = {}

    def objective(trial: Any) -> Point:
        genes = {gene: trial.suggest_categorical(gene, choices) for gene, choices in elastic.items()}
        subnet = supernet.subnet(genes | {"scale": scale})
        tried[tuple(subnet.values())] = subnet
        trial.set_constraint("excess", excess(subnet))
        return cost(subnet), predicted(subnet)

    elastic = {gene: choices for gene, choices in supernet.genes.items() if gene != "scale"}
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    for subnet in known[:POPULATION]:
        # a gene that does not count is drawn by the sampler
        study.enqueue_trial({gene: subnet[gene] for gene in elastic if subnet[gene]})
    study.optimize(objective, n_trials=candidates)
    return list(tried.values())


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that no other point beats in both cost and quality, the cheapest first."""
    best, indices = -math.inf, []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            best = points[index][1]
            indices.append(index)
    return indices


def hypervolume(points: Sequence[Point], most: float) -> float:
    """The area that points command: of lower quality, from 0 on, and of higher cost, up to ``most``."""
    area, before = 0.0, 0.0
    for place in pareto_front(points):
        cost, quality = points[place]
        if cost < most and quality > before:
            area += (most - cost) * (quality - before)
            before = quality
    return area


def spread(points: Sequence[Point], count: int) -> list[int]:
    """Places of up to ``count`` points of the front, spread evenly along it, with both its ends."""
    places = pareto_front(points)
    if len(places) <= count:
        return places
    steps = [round(i * (len(places) - 1) / max(1, count - 1)) for i in range(count)]
    return [places[step] for step in dict.fromkeys(steps)]
