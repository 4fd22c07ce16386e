"""The beginning and the end that the example programs of all cards share: an image read, an image written."""

from pipeline_src.deployment.interface import ModelFile

OPEN = """import numpy as np
from PIL import Image

lr = np.asarray(Image.open("photo.png").convert("RGB")){size}
"""
SAVE = """
Image.fromarray(sr.clip(0, 255).round().astype("uint8")).save("large.png")
"""
TO_INPUT = {"float32": 'lr.astype("float32")', "uint8": "lr", "int8": '(lr ^ 128).view("int8")'}  # int8: less 128


def program(run: str, model: ModelFile, **fields: str) -> str:
    """Return a Python program that upscales ``photo.png`` to ``large.png`` with a file.

    Args:
        run: template of the lines between, which make ``sr``, H×W×3 in 0..255, of ``lr``, uint8 H×W×3; in it
            ``{file}`` stands for the name of the file and ``{lr}`` for the image in the dtype that the file takes.
        model: the file.
        **fields: other fields of the template.
    """
    size = f"  # of {model.size[1]}×{model.size[0]} pixels" if model.size else ""
    template = OPEN + run + SAVE
    return template.format(size=size, file=model.path.name, lr=TO_INPUT[model.tensors.dtype], **fields)
