"""Threads for compiled loops."""

import threading

import pytest

from pipeline_src.imaging.bands import in_bands


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_bands_cover_all_rows_once(threads: int) -> None:
    bands: list[tuple[int, int]] = []
    in_bands(lambda first, last: bands.append((first, last)), 5, threads)
    assert sorted(row for first, last in bands for row in range(first, last)) == [0, 1, 2, 3, 4]


def test_the_calling_thread_works_too_and_an_error_in_another_thread_is_raised() -> None:
    here = threading.get_ident()
    workers: dict[int, int] = {}
    in_bands(lambda first, last: workers.update({first: threading.get_ident()}), 4, 2)
    assert workers[0] == here != workers[2]

    def fail(first: int, last: int) -> None:
        if first:
            raise RuntimeError(f"rows {first} to {last}")

    with pytest.raises(RuntimeError, match="rows 2 to 4"):
        in_bands(fail, 4, 2)
