"""Presets layered over ``params.yaml``, which can be taken off again without losing the user's own edits.

DVC and Snakemake read ``params.yaml`` and nothing else, so the values of a preset must stand in it. The text
without presets is kept in ``params.base.yaml``. Whenever a preset is added or removed, the file is composed again:

    base + presets in their order + edits

where the edits are the differences between base + presets as they were and the file as it is. A comment in
``params.yaml`` names the presets that are layered, so that one rename changes both: a command that is killed half-way
has happened, or it has not.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.config.merging import composed, load_yaml
from pipeline_src.config.reading import parse
from pipeline_src.errors import UserError
from pipeline_src.files import whole_file
from pipeline_src.paths import PARAMS

PRESETS = Path("workflow") / "presets"
LAYERED = re.compile(r"^# presets: (\[.*\]) .*\n", re.MULTILINE)
LAYERED_LINE = "# presets: {} (layered by `superres preset`; delete this line to keep their values for good)\n"
BASE_TEXT = re.compile(r"# [^\n]*\n# state: ([^\n]*)\n", re.DOTALL)
BASE_LINES = (
    "# params.yaml without its presets, kept by `superres preset`. Edit params.yaml, not this file.\n# state: {}\n"
)


@dataclass(frozen=True)
class Layers:
    """The state of ``params.yaml``.

    Attributes:
        base: Text of ``params.yaml`` without presets.
        presets: Text of each preset that is layered over it, by name, in their order.
        current: Text of ``params.yaml`` as it is, without the line that names its presets.
    """

    base: str
    presets: dict[str, str]
    current: str


def add(presets: Sequence[str], path: Path = PARAMS) -> list[str]:
    """Layer presets over ``params.yaml``, in the order given.

    A preset may hold any part of the file. Lists and plain values replace what was there, mappings are merged key by
    key, and a key whose value is ``~`` is removed. A key that the user has edited keeps the user's value.

    Args:
        presets: Names of presets in ``workflow/presets``, or YAML files.
        path: ``params.yaml``; ``params.base.yaml`` and ``workflow/presets`` lie beside it.

    Returns:
        The names of all presets that are layered now.

    Raises:
        UserError: If a preset is unknown, or if the result is not valid. Nothing has changed then.
    """
    layers = _read(path)
    after = dict(layers.presets)
    for preset in presets:
        name, file = _locate(preset, path)
        text = _preset_text(file, path)
        if after.setdefault(name, text) != text:
            raise UserError(f"{name} has changed since it was layered; run `superres preset remove {name}` first")
    _change(layers, after, path)
    return list(after)


def remove(presets: Sequence[str] | None = None, path: Path = PARAMS) -> list[str]:
    """Take presets off ``params.yaml`` again; the user's own edits stay.

    Args:
        presets: Names or files, as they were added; None for all.
        path: ``params.yaml``.

    Returns:
        The names of the presets that are still layered.

    Raises:
        UserError: If a preset is not layered, or if the result is not valid. Nothing has changed then.
    """
    layers = _read(path)
    after = dict(layers.presets) if presets is not None else {}
    for preset in presets or ():
        name, _ = _locate(preset, path)
        if name not in after:
            raise UserError(f"{name} is not layered over {path}; layered are: {', '.join(layers.presets) or 'none'}")
        del after[name]
    _change(layers, after, path)
    return list(after)


def layered(path: Path = PARAMS) -> list[str]:
    """Return the names of the presets that are layered over ``params.yaml``, in their order."""
    return list(_read(path).presets)


def available(path: Path = PARAMS) -> dict[str, str]:
    """Return the presets of ``workflow/presets`` by name, each with the first line of its head comment."""
    files = sorted((path.parent / PRESETS).glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for file in files}


def _locate(preset: str, path: Path) -> tuple[str, Path]:
    """Return the name and the file of a preset that is given by either."""
    folder = path.parent / PRESETS
    file = Path(preset)
    if file.suffix not in (".yaml", ".yml"):
        file = folder / f"{preset}.yaml"
    inside = file.resolve().parent == folder.resolve()
    return (file.stem if inside else file.as_posix()), file


def _preset_text(file: Path, path: Path) -> str:
    try:
        text = file.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        known = ", ".join(available(path))
        raise UserError(f"the preset {file} does not exist; name a YAML file, or one of: {known}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(load_yaml(text, file), dict):
        raise UserError(f"{file} holds no settings; give it sections as {path} has them")
    return text


def _base_file(path: Path) -> Path:
    return path.with_suffix(f".base{path.suffix}")


def _read(path: Path) -> Layers:
    """Read the state; UserError if ``params.base.yaml`` is needed and missing or damaged."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise UserError(f"{path} is not in {Path.cwd()}; run the command from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    line = LAYERED.search(text)
    if not line:
        return Layers(text, {}, text)
    way_out = f"restore it, or delete the line of {path} that begins with '# presets:', to keep the values for good"
    base_file = _base_file(path)
    try:
        base_text = base_file.read_bytes().decode()
        head = BASE_TEXT.match(base_text)
        state = json.loads(head[1] if head else "")
        base = base_text[head.end() :] if head else ""
        if state["sha256"] != _digest(base):
            raise ValueError("the text does not match its hash")
        presets = {name: str(state["presets"][name]) for name in json.loads(line[1])}
    except FileNotFoundError:
        raise UserError(f"{path} has presets layered over it, but {base_file} is missing; {way_out}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{base_file} is damaged, so no preset can be added or removed; {way_out}") from None
    return Layers(base, presets, text[: line.start()] + text[line.end() :])


def _change(layers: Layers, after: dict[str, str], path: Path) -> None:
    """Layer the presets ``after`` in place of those of ``layers``, and write both files if the result is valid."""
    text = composed(layers.base, layers.presets, after, layers.current, path)
    line = LAYERED_LINE.format(json.dumps([*after], ensure_ascii=False)) if after else ""
    names = ", ".join(after)
    parse(text, f"{path} with {names}" if after else str(path))
    # First what is needed before and after, then the one rename that counts, then without what is no longer needed.
    if after:
        _write_base(path, layers.base, layers.presets | after)
    with whole_file(path) as aside:
        aside.write_bytes((line + text).encode())
    if after:
        _write_base(path, layers.base, after)
    else:
        _base_file(path).unlink(missing_ok=True)


def _write_base(path: Path, base: str, presets: dict[str, str]) -> None:
    state = json.dumps({"sha256": _digest(base), "presets": presets})
    with whole_file(_base_file(path)) as aside:
        aside.write_bytes((BASE_LINES.format(state) + base).encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
