"""Regenerate the vectors in this folder: crops of scikit-image photographs, resized by the plain NumPy version.

That version equals MATLAB's own images, where the sets that hold them are at hand (test_imresize.py).
"""

import runpy
from fractions import Fraction
from pathlib import Path

import numpy as np
import skimage.data

ROOT = Path(__file__).parents[3]
CROPS = {
    "coffee": skimage.data.coffee()[156:180, 256:284],  # the rim of the cup
    "chelsea": skimage.data.chelsea()[104:122, 156:176],  # an eye of the cat
    "text": skimage.data.text()[60:84, 200:232],  # grey
}

if __name__ == "__main__":
    plain_imresize = runpy.run_path(str(ROOT / "benchmarks/imresize.py"))["plain_imresize"]
    for name, hr in CROPS.items():
        resized = {
            f"{matlab} {scale}": plain_imresize(hr, float(scale), matlab)
            for matlab in ("uint8", "double")
            for scale in (Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(3))
        }
        np.savez_compressed(Path(__file__).with_name(f"{name}.npz"), hr=hr, **resized)
