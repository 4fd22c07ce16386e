"""Several processes that train one net, as ``torchrun`` starts them: each takes its share of every batch.

The gradients are summed by one all-reduce per step. Nothing is wrapped, so that a net that runs other parts at another
scale needs no special case; for nets of this size there is nothing to gain from overlapping it with the backward pass.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

LONGEST_WAIT = timedelta(hours=1)  # of the others for the first process, which may degrade all images before a training
LOST = 75  # exit status of a process that has lost the others; why, the one says that ended first
PARENT_CHECKED_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Workers:
    """This process is number ``rank`` of ``size``; the first one validates and writes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates and writes."""
        return self.rank == 0

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes. All must call it with the same parameters."""
        if self.size > 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            with _together():
                distributed.all_reduce(flat)
            sums = flat.split([gradient.numel() for gradient in gradients])
            for gradient, summed in zip(gradients, sums, strict=True):
                gradient.copy_(summed.view_as(gradient))

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by its sum over the processes, and return it."""
        if self.size > 1:
            with _together():
                distributed.all_reduce(value)
        return value

    def average_buffers(self, net: nn.Module) -> None:
        """Give every process the mean of the floating-point buffers: the running statistics of batch norm."""
        if self.size > 1:
            for buffer in net.buffers():
                if buffer.is_floating_point():
                    with _together():
                        distributed.all_reduce(buffer)
                    buffer /= self.size

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            with _together():
                distributed.barrier()


@contextmanager
def _together() -> Iterator[None]:
    """End this process quietly if one of the others has ended in the middle of what all do together."""
    try:
        yield
    except RuntimeError:  # of Gloo and NCCL, which have no error of their own for it
        sys.exit(LOST)


def started() -> bool:
    """Whether ``torchrun``, or :mod:`training.launching`, has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join(device: torch.device) -> Workers:
    """Join the processes of ``torchrun`` (NCCL on CUDA, else Gloo); without it this process is alone."""
    if not started():
        return Workers()
    if not distributed.is_initialized():
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
        atexit.register(distributed.destroy_process_group)  # or its threads may abort a process that ends well
    return Workers(distributed.get_rank(), distributed.get_world_size())


def _end_with(parent: int) -> None:
    """End this process when the one that has started it is killed; else it would train on, beside the next run."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECKED_EVERY)
    os._exit(LOST)
