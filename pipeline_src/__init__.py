"""Super-resolution networks from photographs to small, measured files on an edge device.

from pipeline_src import load_model

upscale = load_model("abpn_x3")
sr = upscale(image)  # NumPy, uint8 H×W×3 → uint8 3H×3W×3
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction
    from os import PathLike

    from pipeline_src.library.loading import LoadedModel

__all__ = ["load_model"]


def load_model(
    model: "str | PathLike[str] | None" = None,
    *,
    scale: "int | float | Fraction | None" = None,
    runtime: str | None = None,
    variant: str | None = None,
    device: str = "cpu",
    threads: int = 2,
) -> "LoadedModel":
    """Return a net as a function from images to larger images, both NumPy arrays.

    Args:
        model: a name of ``superres models``, the path of a model file, or ``bicubic``; None for the bundled net that is
            farthest above bicubic at the scale.
        scale: by how much both sides grow, such as 3 or 2.5; None for ×4, or the largest scale of a net without it. One
            between two scales is that of the next larger net, made smaller by bicubic.
        runtime: ``torch``, ``onnx``, ``openvino``, ``openvino_fp16`` or ``tflite``; None for torch where the net is
            bundled, and for its exported ONNX file where a run in this folder has made one.
        variant: ``fp32``, ``ptq`` or ``qat``; None for that of a model file, and for fp32 of a net with a name.
        device: ``cpu``; ``cuda`` or ``mps`` in torch, an execution provider in ONNX Runtime.
        threads: of the runtime on the CPU.

    Returns:
        A function from uint8 H×W×3 in RGB order, or H×W, to uint8 ⌈H·scale⌉×⌈W·scale⌉(×3); see
        :class:`pipeline_src.library.loading.LoadedModel`.

    Raises:
        pipeline_src.errors.UserError: if there is no such net, or it cannot run so.
    """
    from pipeline_src.library.loading import load
    from pipeline_src.library.nets import Running

    return load(model, scale, Running(runtime, variant, device, threads))
