"""DVC's stages as Snakemake needs them: the one module that touches DVC's internal interface."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage

from pipeline_src import config, paths


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml`` after templating; paths are relative to the root of the repository.

    Attributes:
        name: as in DVC, such as ``train@abpn_x3``.
        inputs: files and folders that it depends on.
        params: keys of params.yaml that it depends on.
        files: outs that are files.
        folders: outs that are folders.
        meta: its ``meta`` in ``dvc.yaml``.
        changed: whether DVC would run it, or a stage that it depends on.
    """

    name: str
    inputs: list[str]
    params: list[str]
    files: list[str]
    folders: list[str]
    meta: dict[str, Any]
    changed: bool


def stages(root: Path, compare: bool = True) -> list[Stage]:
    """Return every stage that DVC resolves from ``dvc.yaml``, each after the stages it depends on.

    Code and params are compared by content with ``dvc.lock``, as DVC does. A new time stamp alone (after a clone, a
    checkout, or an edit of another section of ``params.yaml``) therefore does not run a stage.

    Args:
        root: of the repository.
        compare: if false, every stage counts as changed.
    """
    config.load(root / paths.PARAMS)
    repo = Repo(str(root))
    resolved: dict[str, Stage] = {}
    outs = {_relative(out.fs_path, root): stage.name for stage in repo.index.stages for out in stage.outs}
    for stage in _in_order(repo):
        inputs = sorted({path for dep in stage.deps for path in _files(repo, root, dep.fs_path, outs)})
        own_outs = [_relative(out.fs_path, root) for out in stage.outs]
        upstream = {outs[path] for path in inputs if path in outs}
        resolved[stage.name] = Stage(
            name=stage.name,
            inputs=inputs,
            params=[key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params],
            files=[out for out in own_outs if Path(out).suffix],
            folders=[out for out in own_outs if not Path(out).suffix],
            meta=stage.meta or {},
            changed=not compare or any(resolved[name].changed for name in upstream) or _changed(stage),
        )
    return list(resolved.values())


def groups(resolved: list[Stage]) -> dict[str, list[Stage]]:
    """Return the stages of each ``foreach`` by its name, which ``dvc repro train`` runs together."""
    by_name: dict[str, list[Stage]] = {}
    for stage in resolved:
        if "@" in stage.name:
            by_name.setdefault(stage.name.split("@")[0], []).append(stage)
    return by_name


def _in_order(repo: Repo) -> list[DvcStage]:
    from networkx import dfs_postorder_nodes

    return list(dfs_postorder_nodes(repo.index.graph))  # edges of DVC's graph point from a stage to what it needs


def _files(repo: Repo, root: Path, path: str, outs: dict[str, str]) -> list[str]:
    """Return the files of a dependency: itself, or for a folder the outs under it, or its files if it holds code."""
    dep = _relative(path, root)
    under = [out for out in outs if out == dep or Path(out).is_relative_to(dep)]
    if under:
        return under
    if Path(path).is_dir():
        return [_relative(file, root) for file in repo.dvcignore.find(repo.fs, path)]
    return [dep]


def _changed(stage: DvcStage) -> bool:
    return stage.changed_stage() or any(edge.status() for edge in [*stage.deps, *stage.outs])


def _relative(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()
