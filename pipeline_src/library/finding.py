"""From the name of a net to the net."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline_src import paths
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError
from pipeline_src.library import bundled, run
from pipeline_src.library.entries import BICUBIC, Entry

log = logging.getLogger(__name__)

BUNDLED = "bundled:"  # before the name of a bundled net where the run has one of the same name


def find(name: str) -> Entry:
    """Return the net of a name: that of the run in this folder, or else the bundled one.

    Args:
        name: as ``superres models`` prints it; ``bundled:<name>`` for the bundled net in any case.

    Returns:
        The net; with a warning, if it is the bundled one where a run in this folder had one of that name.

    Raises:
        UserError: if there is no such net.
    """
    plain = name.removeprefix(BUNDLED)
    if not plain:
        raise UserError("the name of the net is empty; give one of `superres models`")
    own = [] if name.startswith(BUNDLED) else run.entries()
    shipped = bundled.entries()
    for entry in (*own, *shipped):
        if entry.name == plain:
            if entry.source == "bundled" and plain == name and paths.results("nets", plain).is_dir():
                log.warning(
                    "%s is no file, so the bundled %s is taken; run `dvc repro export@%s` for that of this folder",
                    *(paths.weights(plain), plain, plain),
                )
            return entry
    raise UserError(_unknown(plain, own, shipped))


def _unknown(name: str, own: list[Entry], shipped: list[Entry]) -> str:
    names = [entry.name for entry in (*own, *shipped)]
    if name == BICUBIC:
        return f"{name} is no net, and has nothing to export or describe; give a name of `superres models`"
    if name.endswith(tuple(file_format.SUFFIX for file_format in FORMATS.values())):
        return f"{name} is exported already; give a name of `superres models`"
    if Path(name).suffix == ".safetensors":
        return f"{name} is a file of weights, and here a net is named; give a name of `superres models`"
    known = f"bundled are {', '.join(entry.name for entry in shipped)}"
    if own:
        known = f"the run in this folder has {', '.join(entry.name for entry in own)}; {known}"
    system = name.partition("/")[0]
    systems = _systems() if paths.PARAMS.is_file() else []
    if system in systems and name != system:
        return f"there is no net {name} here; run `make report` (or `dvc repro export@{system}`) to make it; {known}"
    if system in systems:
        return f"{name} has not been trained here; run `make report` (or `dvc repro export@{name}`); {known}"
    nearest = _nearest(name, [*names, *systems, BICUBIC])
    hint = f"the nearest is {nearest}; " if nearest else ""
    elsewhere = "" if own or systems else "; nets of other names are made by a run, and are found in its folder alone"
    return f"there is no net of the name {name}; {hint}{known}{elsewhere}"


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like another, in upper or lower case; None if none is."""
    from difflib import get_close_matches

    by_key = {known.lower(): known for known in names}
    nearest = get_close_matches(name.lower(), [*by_key], 1)
    return by_key[nearest[0]] if nearest else None


def _systems() -> list[str]:
    from pipeline_src import config

    return list(config.load().systems)
