"""The search: an evolution among subnets that a predictor judges, and the yardsticks of what it finds."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from pipeline_src.models.once_for_all import Subnet

POPULATION = 50
Point = tuple[float, float]  # cost and quality


def evolve(
    whole: Any,
    scale: int,
    predicted: Callable[[Subnet], float],
    cost: Callable[[Subnet], float],
    excess: Callable[[Subnet], float],
    candidates: int,
    seed: int,
    known: Sequence[Subnet],
) -> list[Subnet]:
    """The different subnets among ``candidates`` that NSGA-II (Deb et al., 2002) tries, by quality and cost.

    It begins with those that are ``known``. Those whose ``excess`` is above 0 break a limit, the less the better.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried: dict[tuple[int, ...], Subnet] = {}

    def objective(trial: Any) -> Point:
        genes = {gene: trial.suggest_categorical(gene, choices) for gene, choices in elastic.items()}
        subnet = whole.subnet(genes | {"scale": scale})
        tried[tuple(subnet.values())] = subnet
        trial.set_constraint("excess", excess(subnet))
        return cost(subnet), predicted(subnet)

    elastic = {gene: choices for gene, choices in whole.genes.items() if gene != "scale"}
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    for subnet in known[:POPULATION]:
        # a gene that does not count is drawn by the sampler
        study.enqueue_trial({gene: subnet[gene] for gene in elastic if subnet[gene]})
    study.optimize(objective, n_trials=candidates)
    return list(tried.values())


def front(points: Sequence[Point]) -> list[int]:
    """Places of the points that no other one is better than, by cost and quality, the cheapest first."""
    best, found = -math.inf, []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[place][1] > best:
            best = points[place][1]
            found.append(place)
    return found


def hypervolume(points: Sequence[Point], most: float) -> float:
    """The area that points command: of lower quality, from 0 on, and of higher cost, up to ``most``."""
    area, before = 0.0, 0.0
    for place in front(points):
        cost, quality = points[place]
        if cost < most and quality > before:
            area += (most - cost) * (quality - before)
            before = quality
    return area


def spread(points: Sequence[Point], count: int) -> list[int]:
    """Places of up to ``count`` points of the front, spread evenly along it, with both its ends."""
    places = front(points)
    if len(places) <= count:
        return places
    steps = [round(i * (len(places) - 1) / max(1, count - 1)) for i in range(count)]
    return [places[step] for step in dict.fromkeys(steps)]
