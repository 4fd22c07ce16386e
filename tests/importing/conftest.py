"""One thread for images of a few pixels, and the same random weights in every run."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.inference_mode(False), torch.no_grad():
        yield
    torch.set_num_threads(threads)
