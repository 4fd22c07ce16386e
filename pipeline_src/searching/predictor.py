"""Predict the quality of subnets from those that were measured."""

import warnings
from collections.abc import Sequence

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet
from pipeline_src.searching import costs

FEWEST = 10  # different subnets to learn from


class Predictor:
    """A Gaussian process on the genes of a subnet and the logarithms of its Mult-Adds and parameters.

    From a hundred samples it learns more than the multilayer perceptron of Cai et al. (ICLR 2020), which learned from
    thousands.

    Args:
        supernet: whose subnets are predicted.
        subnets: the measured subnets.
        qualities: their qualities, in dB over bicubic.

    Raises:
        UserError: if there are fewer than ``FEWEST`` different subnets.
    """

    def __init__(self, supernet: Supernet, subnets: Sequence[Subnet], qualities: Sequence[float]) -> None:
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
        with warnings.catch_warnings():  # a bad fit shows in the rank correlation, which is reported
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._features(subnets), np.array(qualities))

    def predict(self, subnets: Sequence[Subnet]) -> list[float]:
        """Return the predicted quality of each subnet, in dB over bicubic."""
        return [float(quality) for quality in self._model.predict(self._features(subnets))]

    def predict_one(self, subnet: Subnet) -> float:
        """Return the predicted quality of one subnet, in dB over bicubic."""
        return self.predict([subnet])[0]

    def _features(self, subnets: Sequence[Subnet]) -> np.ndarray:
        return np.array([self._subnet_features(subnet) for subnet in subnets])

    def _subnet_features(self, subnet: Subnet) -> list[float]:
        blocks = self._supernet.blocks(subnet)
        one_hot = [
            float(subnet[gene] == choice) for gene, choices in self._supernet.genes.items() for choice in choices
        ]
        return [*one_hot, float(np.log(costs.mult_adds(blocks))), float(np.log(costs.parameters(blocks)))]


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Return Kendall's τ, in −1..1: 1 where both have the same order."""
    from scipy.stats import kendalltau

    return float(kendalltau(predicted, measured)[0])
