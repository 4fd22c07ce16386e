"""A part of the campaign of faults; `make faults` runs the whole of it."""

from pathlib import Path

import campaign
from copies import Copy, copied_again

CASES, SEED = 10, 1


def test_every_case_ends_as_it_should(first_run: Copy, tmp_path: Path) -> None:
    on_a_run = campaign.of_a_run(copied_again(first_run, tmp_path / "copy"))
    ended = campaign.run([on_a_run], [*campaign.cases(on_a_run, CASES, SEED)], SEED)
    assert sum(ends.total() for ends in ended.values()) == CASES
    assert {end for ends in ended.values() for end in ends} <= {*campaign.GOOD}, campaign.table(ended)
