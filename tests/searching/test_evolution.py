"""The evolution on subnets whose quality is known, and the Pareto front with its hypervolume."""

from spaces import PLAIN, Problem

from pipeline_src.searching import costs
from pipeline_src.searching.evolution import hypervolume, pareto_front, spread

POINTS = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 5.0), (2.0, 3.0), (2.0, 2.5)]


def test_the_front_is_of_points_that_no_other_point_dominates() -> None:
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


def test_the_evolution_finds_the_front_that_random_samples_do_not() -> None:
    small, wide, candidates = Problem(PLAIN), Problem(), 1000
    tried, existing = small.points(small.evolved(200)), small.points(small.all_subnets())
    assert {tried[i] for i in pareto_front(tried)} == {existing[i] for i in pareto_front(existing)}
    most = wide.cost(wide.supernet.largest(2))
    best, evolved, random = (
        hypervolume(wide.points(subnets), most)
        for subnets in (wide.all_subnets(), wide.evolved(candidates), wide.sampled(candidates))
    )
    assert random < evolved <= best
    assert best - evolved < 0.5 * (best - random)


def test_the_evolution_depends_on_its_seed_and_begins_with_the_known_subnets() -> None:
    problem = Problem()
    tried = problem.evolved(60)
    assert tried == problem.evolved(60) != problem.evolved(60, seed=2)
    assert tried[:2] == [problem.supernet.smallest(2), problem.supernet.largest(2)]
    assert 40 < len(tried) == len({tuple(subnet.values()) for subnet in tried}) <= 60
    assert tried == [problem.supernet.subnet(subnet) for subnet in tried]


def test_the_evolution_learns_to_meet_the_limits() -> None:
    problem = Problem()
    subnets = problem.all_subnets()
    limit = sorted(map(problem.cost, subnets))[len(subnets) // 20]
    budget = costs.Limit("Mult-Adds", limit, lambda blocks: costs.mult_adds(blocks) / 1e9)
    met: list[bool] = []

    def excess(subnet: dict[str, int]) -> float:
        met.append(budget.excess(problem.supernet.blocks(subnet)) <= 0)
        return budget.excess(problem.supernet.blocks(subnet))

    tried = problem.evolved(300, excess=excess)
    assert sum(met[:50]) < 10
    assert sum(met[-50:]) > 30
    best, evolved = (
        max(problem.quality(subnet) for subnet in some if problem.cost(subnet) <= limit) for some in (subnets, tried)
    )
    assert 0.97 * best < evolved <= best
