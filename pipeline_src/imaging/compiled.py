"""Compilation of loops by Numba. Import this module only where such loops run, because Numba is slow to load."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numba

log = logging.getLogger(__name__)

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(*, cache: bool = True, **options: Any) -> Callable[[Loop], Loop]:
    """Return a decorator that compiles a function with Numba, and keeps the result on disk for the next process.

    Where Numba finds no folder to write to, neither beside the source nor in the user's cache (a read-only container),
    every process compiles anew, which takes seconds.

    Args:
        cache: whether to keep the result on disk.
        **options: others of ``numba.njit``.
    """

    def decorate(function: Loop) -> Loop:
        try:
            result: Loop = numba.njit(cache=cache, **options)(function)
        except RuntimeError as error:  # "cannot cache function …: no locator available for file …"
            log.info("%s", error)
            result = numba.njit(**options)(function)
        return result

    return decorate
