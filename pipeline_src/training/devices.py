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
    """Return the dtype of ``train.precision``: fp32, bf16, or with auto bf16 where the hardware computes in it.

    A CPU that has to emulate bfloat16 is several times slower with it.
    """
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    features = torch.cpu.get_capabilities()
    native = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32
