"""Compilation of loops by Numba. Import this module only where such loops run, because Numba is slow to load."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.dispatcher import Dispatcher

log = logging.getLogger(__name__)

Loop = TypeVar("Loop", bound=Callable[..., Any])


class Cache:
    """A cache of Numba whose files may be damaged or of another user, on a disk that may be full.

    What cannot be read is compiled anew, and what cannot be written is compiled by every process, which takes seconds.

    Args:
        cache: of one function.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        """Return what is not about reading and writing from Numba's cache."""
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """Return what was compiled for the types of some arguments, or None; start anew if a file cannot be read."""
        try:
            return self._cache.load_overload(*arguments)
        except Exception as error:  # a pickle that was cut or changed raises anything
            log.info("%s: the cache of Numba cannot be read (%s: %s)", self._cache, type(error).__name__, error)
            self._write(self._cache.flush)  # or its index could not be read when the result is to be kept
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep what was compiled for the types of some arguments, if it can be written."""
        self._write(self._cache.save_overload, *arguments)

    def _write(self, write: Callable[..., None], *arguments: Any) -> None:
        try:
            write(*arguments)
        except OSError as error:
            log.info("%s: the cache of Numba cannot be written (%s)", self._cache, error)


def compiled(*, cache: bool = True, **options: Any) -> Callable[[Loop], Loop]:
    """Return a decorator that compiles a function with Numba, and keeps the result on disk for the next process.

    Where Numba finds no folder to write to, neither beside the source nor in the user's cache (a read-only container),
    every process compiles anew, which takes seconds.

    Args:
        cache: whether to keep the result on disk.
        **options: others of ``numba.njit``.
    """

    def decorate(function: Loop) -> Loop:
        loop: Any
        try:
            loop = numba.njit(cache=cache, **options)(function)
        except RuntimeError as error:  # "cannot cache function …: no locator available for file …"
            log.info("%s", error)
            loop = numba.njit(**options)(function)
        else:
            if cache and isinstance(loop, Dispatcher):  # which it is not with NUMBA_DISABLE_JIT
                loop._cache = Cache(loop._cache)  # type: ignore[attr-defined]
        result: Loop = loop
        return result

    return decorate
