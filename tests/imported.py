"""What the server of ``forked`` imports before it forks: what stages and other commands import as they run."""

import dvc.cli.parser
import dvc.repo  # noqa: F401
import h5py  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import networkx  # noqa: F401
import nni  # noqa: F401
import numpy as np
import optuna  # noqa: F401
import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn.gaussian_process  # noqa: F401
import snakemake.cli  # noqa: F401
import torch.export  # noqa: F401
import torchao  # noqa: F401

import pipeline_src.benchmarking.memory_child  # with every runtime
import pipeline_src.benchmarking.quality
import pipeline_src.compression.calibration.ptq
import pipeline_src.compression.pruning
import pipeline_src.exporting
import pipeline_src.reporting.sections
import pipeline_src.searching.search
import pipeline_src.searching.tuning
import pipeline_src.training.session
import pipeline_src.upscaling  # noqa: F401
from pipeline_src.imaging.imresize import imresize, imresize_float
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.tracking import store

store.configure_mlflow()

import mlflow  # noqa: E402, F401

# Compiled loops are read from numba's cache when they are called first.
image = np.zeros((24, 24, 3), np.uint8)
imresize(image, 0.5)
imresize_float(image, 0.5)
quality(image, image, 2)
