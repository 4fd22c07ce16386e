"""The lines that the example programs of all cards share: they read and write an image."""

from pipeline_src.deployment.interface import ModelFile

OPEN = """import numpy as np
from PIL import Image

{taken} = np.asarray(Image.open("photo.png").convert("RGB")){size}
"""
PAD = """missing = [(0, -side % {multiple}) for side in {taken}.shape[:2]]
{taken} = np.pad({taken}, [*missing, (0, 0)], "symmetric")  # to whole squares of {multiple}×{multiple} pixels
"""
SAVE = """
Image.fromarray({given}.clip(0, 255).round().astype("uint8")).save("{saved}")
"""
SAVED = {"sr": "large.png", "lr": "small.png"}
TO_INPUT = {
    "float32": '{taken}.astype("float32")',
    "uint8": "{taken}",
    "int8": '({taken} ^ 128).view("int8")',
}  # int8 is the value − 128


def program(run: str, model: ModelFile, **fields: str) -> str:
    """Return a Python program that upscales ``photo.png`` to ``large.png``, or downscales it to ``small.png``.

    Args:
        run: template of the lines between reading and writing, which compute the output, an image in 0..255, from the
            input, uint8 H×W×3. In it, ``{taken}`` and ``{given}`` stand for the names of the two, ``{tensor}`` for the
            image in the dtype of the file's input, and ``{file}`` for the name of the file.
        model: the file.
        **fields: further fields of the template.
    """
    size = f"  # of {model.size[1]}×{model.size[0]} pixels" if model.size else ""
    taken, given = model.ends
    names = {"taken": taken, "given": given, "saved": SAVED[given], "multiple": model.multiple}
    tensor = TO_INPUT[model.tensors.dtype].format(taken=taken)
    template = OPEN + (PAD if model.multiple > 1 and not model.size else "") + run + SAVE
    return template.format(size=size, file=model.path.name, tensor=tensor, **names, **fields)
