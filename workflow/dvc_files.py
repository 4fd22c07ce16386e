"""What the dependencies of DVC's stages stand for, and whether they are as dvc.lock says: each file is looked at once.

DVC itself reads params.yaml and the code anew for each stage that depends on them, which takes an hour for a thousand
systems.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from dvc.dependency.param import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage
from dvc.utils.serialize import load_yaml

ABSENT = object()  # in the place of a value: there is none


class Files:
    """The files that dependencies stand for.

    Thousands of stages have the same code, and the outs of thousands of stages lie under one folder, so both are looked
    up and not searched for.

    Args:
        repo: with its stages.
        root: of the repository.
    """

    def __init__(self, repo: Repo, root: Path) -> None:
        self.makers = {relative(out.fs_path, root): stage.name for stage in repo.index.stages for out in stage.outs}
        self._repo, self._root = repo, root
        self._under: dict[str, list[str]] = {}  # outs by themselves and by each folder above them
        self._code: dict[str, list[str]] = {}
        for out in self.makers:
            for path in (out, *_above(out)):
                self._under.setdefault(path, []).append(out)

    def of(self, path: str) -> list[str]:
        """Return the files of a dependency: the outs under it, or if it holds code its files, or itself."""
        dep = relative(path, self._root)
        if dep in self._under:
            return self._under[dep]
        if dep not in self._code:
            inside = self._repo.dvcignore.find(self._repo.fs, path) if Path(path).is_dir() else [path]
            self._code[dep] = [relative(file, self._root) for file in inside]
        return self._code[dep]

    def are_made(self, dep: str) -> bool:
        """Return whether a dependency is an out of a stage, lies in one, or holds one."""
        return dep in self._under or any(path in self.makers for path in _above(dep))


class Contents:
    """What files hold now, and whether that is what the lock says, as DVC compares them."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}
        self._params: dict[str, Any] = {}  # what a file holds, by its path

    def hash(self, dep: Output) -> str:
        """Return the hash of a file or folder, "" if there is none."""
        path = str(dep.fs_path)
        if path not in self._hashes:
            self._hashes[path] = dep.get_hash().value if dep.exists else ""
        return self._hashes[path]

    def params(self, dep: ParamsDependency) -> dict[str, Any]:
        """Return the params of a stage in one file, without those that the file lacks."""
        path = str(dep.fs_path)
        if path not in self._params:
            self._params[path] = load_yaml(path) if dep.exists else {}
        values = {key: _at(self._params[path], key) for key in dep.params}
        return {key: value for key, value in values.items() if value is not ABSENT}

    def are_as_locked(self, stage: DvcStage) -> bool:
        """Return whether the command, the dependencies and the outs of a stage are those of its last run."""
        return not stage.changed_stage() and all(self._is_as_locked(edge) for edge in [*stage.deps, *stage.outs])

    def _is_as_locked(self, edge: Output) -> bool:
        if isinstance(edge, ParamsDependency):
            now, locked = self.params(edge), edge.hash_info.value or {}
            return all(key in now and key in locked and now[key] == locked[key] for key in edge.params)
        if not edge.hash_info or self.hash(edge) != edge.hash_info.value:
            return False
        return edge.IS_DEPENDENCY or not edge.use_cache or not edge.changed_cache()


def _at(tree: Any, key: str) -> Any:
    """Return the value of ``a.b.c`` in nested mappings; ABSENT where there is none."""
    for part in key.split("."):
        tree = tree.get(part, ABSENT) if isinstance(tree, dict) else ABSENT
    return tree


def _above(path: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(path).parents]


def relative(path: str, root: Path) -> str:
    """Return a path as it is written in dvc.yaml."""
    return Path(path).relative_to(root).as_posix()
