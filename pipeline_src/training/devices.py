"""The device and the number format that nets are trained with."""

import torch

from pipeline_src.errors import UserError


def torch_device(device: str, threads: int) -> torch.device:
    """Return the device of ``train.device`` (auto, cpu, cuda); set deterministic algorithms and the thread count.

    Raises:
        UserError: if CUDA is asked for and torch sees no CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: train.device is cuda, but torch sees no CUDA device here; set it to auto or cpu")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def precision_of(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of ``train.precision``: fp32, bf16, or with auto fp32 on a CPU and bf16 on a GPU that has it.

    On CPUs auto does not depend on the model: with bf16 where it is native, the same params would train other weights
    on another CPU.
    """
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
