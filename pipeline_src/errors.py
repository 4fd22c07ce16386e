"""The one exception for what a user can cause and mend."""

OUT_OF_MEMORY = (  # of torch on a CPU and on a GPU, of ONNX Runtime and OpenVINO, TFLite, and of the system's loader
    "can't allocate memory", "out of memory", "Failed to allocate", "XNNPack delegate failed to reshape",
    "failed to map segment",
)  # fmt: skip


class UserError(Exception):
    """A mistake in the input: the message is one sentence that says what is wrong, where, and what to do.

    Commands print it as ``error: …`` and exit with 1; every other exception is a bug and keeps its traceback.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there is no memory left; each library has one of its own for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)
