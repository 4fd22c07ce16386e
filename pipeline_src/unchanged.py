"""Whether params.yaml or code changed while a stage ran.

DVC hashes what a stage depends on when it has ended. After an edit in the meantime it would take what was made of the
old values for a result of the new ones, and never run the stage again.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from pipeline_src.errors import UserError

PIPELINE, PARAMS, CODE = Path("dvc.yaml"), Path("params.yaml"), "pipeline_src"
OPEN = re.compile(r"\$\{(key|item(?:\.\w+)+)\}")


class Inputs:
    """The params and the code of one stage, of those that dvc.yaml declares, as they are when it starts.

    Args:
        stage: such as ``train``.
        item: what a repeated stage is about, such as ``abpn_x3``; None for another stage.
    """

    def __init__(self, stage: str, item: str | None) -> None:
        self._stage, self._item = stage, item
        self._began = self._read()

    def refuse_changes(self) -> None:
        """Check that they are still the same.

        Raises:
            UserError: naming the first file that has changed.
        """
        now = self._read()
        changed = next((name for name in self._began | now if self._began.get(name) != now.get(name)), None)
        if changed:
            name = f"{self._stage}@{self._item}" if self._item else self._stage
            raise UserError(f"{changed} has changed while {name} ran, so its results are of no one state; run it again")

    def _read(self) -> dict[str, Any]:
        """Return the values of its params under the name of their file, and the hash of each file of its code.

        Nothing if one of the two files is not there or cannot be read, which the stage says itself.
        """
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            stages, params = (YAML(typ="safe").load(file.read_text(encoding="utf-8")) for file in (PIPELINE, PARAMS))
        except (OSError, ValueError, YAMLError):
            return {}
        stage = _at(stages, f"stages.{self._stage}") or {}
        names = {"key": self._item}
        if "foreach" in stage:
            names["item"] = _at(params, f"{stage['foreach'][2:-1]}.{self._item}")
        keys, deps = (
            [OPEN.sub(lambda found: str(_at(names, found[1])), name) for name in stage.get("do", stage).get(kind, [])]
            for kind in ("params", "deps")
        )
        files = [file for dep in deps if dep.startswith(CODE) for file in _files(Path(dep))]
        hashes = {file.as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        return {PARAMS.name: {key: _at(params, key) for key in keys}} | hashes


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []


def _at(tree: Any, key: str) -> Any:
    """Return the value of ``a.b.c`` in nested mappings; None where there is none."""
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
