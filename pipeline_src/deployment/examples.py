"""The lines that the example programs of all cards share: they read and write an image."""

from pipeline_src.deployment.interface import ModelFile

OPEN = """import numpy as np
from PIL import Image

lr = np.asarray(Image.open("photo.png").convert("RGB")){size}
"""
SAVE = """
Image.fromarray(sr.clip(0, 255).round().astype("uint8")).save("large.png")
"""
TO_INPUT = {
    "float32": 'lr.astype("float32")',
    "uint8": "lr",
    "int8": '(lr ^ 128).view("int8")',
}  # int8 is the value − 128


def program(run: str, model: ModelFile, **fields: str) -> str:
    """Return a Python program that upscales ``photo.png`` to ``large.png`` with a file.

    Args:
        run: template of the lines between reading and writing, which compute ``sr``, sH×sW×3 in 0..255, from ``lr``,
            uint8 H×W×3. In it, ``{file}`` stands for the name of the file and ``{lr}`` for the image in the dtype of
            the file's input.
        model: the file.
        **fields: further fields of the template.
    """
    size = f"  # of {model.size[1]}×{model.size[0]} pixels" if model.size else ""
    template = OPEN + run + SAVE
    return template.format(size=size, file=model.path.name, lr=TO_INPUT[model.tensors.dtype], **fields)
