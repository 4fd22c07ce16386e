"""A guess of how good a subnet is, learnt from those that were measured."""

import warnings
from collections.abc import Sequence

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet
from pipeline_src.searching import costs

FEWEST = 10


class Predictor:
    """A Gaussian process on which choice each gene has, and on the logarithms of Mult-Adds and parameters.

    Of a hundred samples it learns more than the perceptron of the paper, which had thousands. UserError if there are
    fewer than ``FEWEST`` different subnets.
    """

    def __init__(self, supernet: Supernet, subnets: Sequence[Subnet], figures: Sequence[float]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        different = len({tuple(subnet.values()) for subnet in subnets})
        if different < FEWEST:
            raise UserError(
                f"the predictor has {different} measured subnets to learn from and needs {FEWEST}; raise search's "
                "samples, or give the net more choices"
            )
        self._supernet = supernet
        kernel = ConstantKernel() * RBF(3.0) + WhiteKernel(0.1, (1e-9, 10.0))
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        self._model = make_pipeline(StandardScaler(), process)
        with warnings.catch_warnings():  # how good it is its rank correlation tells
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._features(subnets), np.array(figures))

    def predict(self, subnets: Sequence[Subnet]) -> list[float]:
        """The figure of each."""
        return [float(figure) for figure in self._model.predict(self._features(subnets))]

    def predict_one(self, subnet: Subnet) -> float:
        """The figure of one."""
        return self.predict([subnet])[0]

    def _features(self, subnets: Sequence[Subnet]) -> np.ndarray:
        return np.array([self._of_one(subnet) for subnet in subnets])

    def _of_one(self, subnet: Subnet) -> list[float]:
        blocks = self._supernet.blocks(subnet)
        chosen = [float(subnet[gene] == choice) for gene, choices in self._supernet.genes.items() for choice in choices]
        return [*chosen, float(np.log(costs.mult_adds(blocks))), float(np.log(costs.parameters(blocks)))]


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Kendall's τ: 1 where both have the same order."""
    from scipy.stats import kendalltau

    return float(kendalltau(predicted, measured)[0])
