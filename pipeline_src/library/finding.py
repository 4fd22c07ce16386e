"""From the name of a net to the net."""

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.library import bundled, run
from pipeline_src.library.entries import Entry

BUNDLED = "bundled:"  # before the name of a bundled net where the run has one of the same name


def find(name: str) -> Entry:
    """Return the net of a name: that of the run in this folder, or else the bundled one.

    Args:
        name: as ``superres models`` prints it; ``bundled:<name>`` for the bundled net in any case.

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
            return entry
    raise UserError(_unknown(plain, own, shipped))


def _unknown(name: str, own: list[Entry], shipped: list[Entry]) -> str:
    known = f"bundled are {', '.join(entry.name for entry in shipped)}"
    if own:
        known = f"the run in this folder has {', '.join(entry.name for entry in own)}; {known}"
    system = name.partition("/")[0]
    if paths.PARAMS.is_file() and name != system:
        return f"there is no net {name} here; run `make report` (or `dvc repro export@{system}`) to make it; {known}"
    if paths.PARAMS.is_file() and system in _systems():
        return f"{name} has not been trained here; run `make report` (or `dvc repro export@{name}`); {known}"
    return f"there is no net of the name {name}; {known}"


def _systems() -> list[str]:
    from pipeline_src import config

    return list(config.load().systems)
