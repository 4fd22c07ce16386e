"""The numbers of the pipeline, ``params.yaml``: a schema file per section, reading, presets, and the reference page.

Every stage reads the sections that ``dvc.yaml`` declares for it and nothing else; a test compares the two.
"""

from pipeline_src.config.base import ROLES, SCALES, PinnedFile, Role
from pipeline_src.config.benchmark import Benchmark, Operators
from pipeline_src.config.data import BuildH5, ImageSet
from pipeline_src.config.degradation import Degradation
from pipeline_src.config.devices import HERE, Delegate, Device
from pipeline_src.config.params import Params
from pipeline_src.config.pruning import Prune, Pruning
from pipeline_src.config.quantization import Qat, Quantize
from pipeline_src.config.reading import load, recipe
from pipeline_src.config.report import Report
from pipeline_src.config.search import Budget, LatencyTable, Search
from pipeline_src.config.system import System
from pipeline_src.config.training import Downscaler, Recipe, Reparameterise, ShrinkPhase, Train, Training
from pipeline_src.config.tune import Range, Tune

__all__ = [
    "HERE",
    "ROLES",
    "SCALES",
    "Benchmark",
    "Budget",
    "BuildH5",
    "Degradation",
    "Delegate",
    "Device",
    "Downscaler",
    "ImageSet",
    "LatencyTable",
    "Operators",
    "Params",
    "PinnedFile",
    "Prune",
    "Pruning",
    "Qat",
    "Quantize",
    "Range",
    "Recipe",
    "Reparameterise",
    "Report",
    "Role",
    "Search",
    "ShrinkPhase",
    "System",
    "Train",
    "Training",
    "Tune",
    "load",
    "recipe",
]
