"""The predictor on subnets whose quality is known, and the rank correlation."""

import pytest
from spaces import Problem

from pipeline_src.errors import UserError
from pipeline_src.searching.predictor import Predictor, rank_correlation


def test_the_predictor_ranks_subnets_that_it_has_not_seen() -> None:
    problem = Problem()
    samples = problem.sampled(100)
    qualities = [problem.quality(subnet) for subnet in samples]
    predictor = Predictor(problem.supernet, samples[:60], qualities[:60])
    assert rank_correlation(predictor.predict(samples[60:]), qualities[60:]) > 0.9
    assert predictor.predict_one(samples[70]) == pytest.approx(predictor.predict(samples[70:71])[0])
    again = Predictor(problem.supernet, samples[:60], qualities[:60])
    assert again.predict(samples[60:]) == predictor.predict(samples[60:])


def test_too_few_subnets_are_refused() -> None:
    problem = Problem()
    nine = [*{tuple(subnet.values()): subnet for subnet in problem.sampled(30)}.values()][:9]
    with pytest.raises(UserError, match=r"has 9 measured subnets to learn from and needs 10; raise search's samples"):
        Predictor(problem.supernet, nine * 3, [1.0] * 27)


def test_rank_correlation_is_one_for_the_same_order() -> None:
    assert rank_correlation([0.1, 0.2, 0.9], [1, 5, 6]) == 1
    assert rank_correlation([0.1, 0.2, 0.9], [6, 5, 1]) == -1
    assert rank_correlation([0.1, 0.2, 0.9], [5, 1, 6]) == pytest.approx(1 / 3)
