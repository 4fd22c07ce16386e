"""DVC's stages and lock, as Snakemake and checks need them: with dvc_files the modules that touch DVC's internals."""

import itertools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from dvc.config import ConfigError
from dvc.dependency.param import ParamsDependency
from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage
from dvc.utils.serialize import YAMLFileCorruptedError, dumps_yaml, load_yaml, parse_yaml
from dvc.utils.strictyaml import YAMLValidationError
from dvc_files import Contents, Files, relative
from unlock import RUNNING, locked

from pipeline_src import config, paths
from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

LOCK = "dvc.lock"
CONFLICT = b"<<<<<<<"
ALONE = 1000  # threads of a stage beside which no other may run, more than any machine has
LOCK_READS, LOCK_PAUSE = 20, 0.1  # of a lock that is being written: times, and seconds between them


@dataclass(frozen=True)
class Job:
    """What Snakemake reserves for a stage.

    Attributes:
        threads: number of them.
        resources: by the names of Snakemake and of its plugins.
    """

    threads: int
    resources: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml`` after templating; paths are relative to the root of the repository.

    Attributes:
        name: as in DVC, such as ``train@abpn_x3``.
        inputs: files and folders that it depends on.
        made: those of them that other stages make.
        params: keys of params.yaml that it depends on.
        files: outs that are files.
        folders: outs that are folders.
        meta: its ``meta`` in ``dvc.yaml``, without ``gpu`` if ``train.device`` is cpu; of a training in several
            processes as many threads, GPUs and as much memory as these take on one node.
        nodes: of a cluster that it runs on.
        cuda: whether it cannot do without a GPU.
        device: of params.yaml that it measures on, and no other stage may at that time; "" if it uses none.
        changed: whether DVC would run it, or a stage that it depends on.
    """

    name: str
    inputs: list[str]
    made: list[str]
    params: list[str]
    files: list[str]
    folders: list[str]
    meta: dict[str, Any]
    nodes: int
    cuda: bool
    device: str
    changed: bool

    @property
    def alone(self) -> bool:
        """Whether no other stage may run on the same machine: it measures time."""
        return bool(self.meta["threads"] >= ALONE)

    @property
    def job(self) -> Job:
        """What it takes of this machine."""
        reserved = {name: self.meta[name] for name in ("mem_mb", "gpu") if name in self.meta}
        return Job(self.meta["threads"], reserved | ({f"device_{self.device}": 1} if self.device else {}))


@dataclass(frozen=True)
class LockEntry:
    """What ``dvc.lock`` says of a stage, or should say of it; paths are relative to the root of the repository.

    Attributes:
        cmd: its command.
        deps: hash of each file and folder that it depends on; None where only a run can tell it.
        params: values by key of params.yaml.
        outs: hash of each out; None where only a run can tell it.
    """

    cmd: str
    deps: dict[str, str | None]
    params: dict[str, Any]
    outs: dict[str, str | None]


def stages(root: Path, compare: bool = True) -> list[Stage]:
    """Return every stage that DVC resolves from ``dvc.yaml``, each after the stages it depends on.

    Code and params are compared by content with ``dvc.lock``, as DVC does. A new time stamp alone (after a clone, a
    checkout, or an edit of another section of ``params.yaml``) therefore does not run a stage.

    Args:
        root: of the repository.
        compare: if false, every stage counts as changed.
    """
    params = config.load(root / paths.PARAMS)
    trainings = {f"train@{name}": system.train for name, system in params.systems.items()}
    devices = {f"measure@{name}": name for name in params.devices}
    devices |= {f"search@{name}": search.latency.device for name, search in params.search.items()}
    repo = _opened(root)
    resolved: dict[str, Stage] = {}
    files, now = Files(repo, root), Contents()
    for stage in _in_order(repo):
        inputs = sorted({path for dep in stage.deps for path in files.of(dep.fs_path)})
        own_outs = [relative(out.fs_path, root) for out in stage.outs]
        made = [path for path in inputs if path in files.makers]
        upstream = {files.makers[path] for path in made}
        resolved[stage.name] = Stage(
            name=stage.name,
            inputs=inputs,
            made=made,
            params=[key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params],
            files=[out for out in own_outs if Path(out).suffix],
            folders=[out for out in own_outs if not Path(out).suffix],
            meta=_meta(stage, params.train.device, trainings.get(stage.name)),
            nodes=trainings[stage.name].nodes if stage.name in trainings else 1,
            cuda=params.train.device == "cuda" and "gpu" in stage.meta,
            device="" if devices.get(stage.name) == config.HERE else devices.get(stage.name, ""),
            changed=not compare or any(resolved[name].changed for name in upstream) or not now.are_as_locked(stage),
        )
    return list(resolved.values())


def _meta(stage: DvcStage, device: str, training: config.Training | None) -> dict[str, Any]:
    meta = {key: value for key, value in stage.meta.items() if key != "gpu" or device != "cpu"}
    processes = training.processes if training else 1
    return meta | {key: processes * meta[key] for key in ("threads", "mem_mb", "gpu") if key in meta}


def _opened(root: Path) -> Repo:
    """Open the repository and read its stages; again for a while if the lock is damaged, as while DVC writes it.

    A lock that stays cut short, while no DVC runs, was left by one that was killed: it is moved aside, and DVC takes
    from its cache what has run.

    Raises:
        UserError: if DVC cannot read one of its files.
    """
    for attempt in itertools.count():
        try:
            repo = Repo(str(root))
            repo.index.stages  # noqa: B018  # read here
            break
        except ConfigError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"DVC cannot read its settings ({reason}); correct .dvc/config, or .dvc/config.local"
            ) from None
        except (YAMLFileCorruptedError, YAMLValidationError) as error:
            if Path(error.path).name != LOCK or attempt > LOCK_READS:
                advice = f"take it from git again (git checkout {error.path})"
                raise UserError(f"DVC cannot read {error.path}; correct it, or {advice}") from None
            if attempt == LOCK_READS:
                _move_cut_lock_aside(root)
            time.sleep(LOCK_PAUSE)
    return repo


def _move_cut_lock_aside(root: Path) -> None:
    """Move the lock aside, unless a DVC runs that may be writing it, or it has the conflicts of a merge of git."""
    lock = root / LOCK
    if running(root) or CONFLICT in lock.read_bytes():
        return
    aside = lock.replace(root / ".dvc/tmp" / f"{LOCK}.{time.time_ns()}")
    print(
        f"warning: {LOCK} is cut short, as by a DVC that was killed while it wrote it; it is now {aside}, and the "
        "results of stages that have run come from DVC's cache",
        file=sys.stderr,
    )


def groups(resolved: list[Stage]) -> dict[str, list[Stage]]:
    """Return the stages of each ``foreach`` by its name, which ``dvc repro train`` runs together."""
    by_name: dict[str, list[Stage]] = {}
    for stage in resolved:
        if "@" in stage.name:
            by_name.setdefault(stage.name.split("@")[0], []).append(stage)
    return by_name


def running(root: Path) -> set[int]:
    """Return the processes of DVC that run a stage in this repository, by the list in which DVC keeps them apart."""
    try:
        used = json.loads((root / RUNNING).read_text())
        users = [*used.get("write", {}).values(), *itertools.chain(*used.get("read", {}).values())]
        return {user["pid"] for user in users if _is_dvc(user["pid"])}
    except FileNotFoundError:  # none has run
        return set()
    except (
        json.JSONDecodeError,
        AttributeError,
        KeyError,
        TypeError,
    ):  # one writes it at this moment, or it is damaged
        return set()


def remove_damaged_list(root: Path) -> None:
    """Delete DVC's list of the stages that run if it is cut short, as by a DVC that was killed while it wrote it.

    DVC refuses to run anything with such a list. It holds a lock while it writes the list, which ends with its process.
    """
    listed = root / RUNNING
    if not listed.exists():
        return
    with locked(listed):
        try:
            json.loads(listed.read_bytes())
        except ValueError:  # neither text nor JSON
            listed.unlink()
            print(f"warning: {RUNNING} was cut short, as by a DVC that was killed, and is deleted", file=sys.stderr)


def _is_dvc(pid: int) -> bool:
    """Whether a process is one of DVC, and no other that has got its number since."""
    try:
        return any("dvc" in Path(word).name for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def lock_entries(root: Path) -> dict[str, LockEntry]:
    """Return the stages of ``dvc.lock`` by name; none if there is no such file.

    Raises:
        UserError: if the file is not a lock of DVC, such as after a merge with conflicts.
    """
    if not (root / LOCK).exists():
        return {}
    try:
        locked: dict[str, dict[str, Any]] = load_yaml(str(root / LOCK))["stages"]
        return {name: _lock_entry(stage) for name, stage in locked.items()}
    except (DvcException, KeyError, TypeError):
        raise UserError(f"{LOCK} is damaged; take it from git again (git checkout {LOCK})") from None


def _lock_entry(stage: dict[str, Any]) -> LockEntry:
    params: dict[str, dict[str, Any]] = stage.get("params", {})
    return LockEntry(
        cmd=stage["cmd"],
        deps={dep["path"]: dep["md5"] for dep in stage.get("deps", [])},
        params={key: value for keys in params.values() for key, value in keys.items()},
        outs={out["path"]: out["md5"] for out in stage.get("outs", [])},
    )


def lock_text(root: Path, stage: str) -> str:
    """Return the entry of a stage as ``dvc.lock`` has it, in YAML under the name of the stage."""
    text: str = dumps_yaml({stage: load_yaml(str(root / LOCK))["stages"][stage]})
    return text


def merge_into_lock(root: Path, texts: list[str]) -> None:
    """Put entries, as :func:`lock_text` returns them, into ``dvc.lock`` in the place of those that it has.

    DVC's own lock is held meanwhile, because a stage that ends writes the file too.
    """
    entries = {name: entry for text in texts for name, entry in parse_yaml(text, "an entry").items()}
    held = root / ".dvc/tmp/lock"
    held.parent.mkdir(exist_ok=True)
    with make_lock(str(held), tmp_dir=str(held.parent), wait=True):
        whole = load_yaml(str(root / LOCK)) if (root / LOCK).exists() else {"schema": "2.0", "stages": {}}
        stages = whole["stages"] | entries
        if stages != whole["stages"]:
            with whole_file(root / LOCK) as written:
                written.write_text(dumps_yaml(whole | {"stages": dict(sorted(stages.items()))}), encoding="utf-8")


def remote_name(root: Path) -> str:
    """Return the default remote of ``.dvc/config``, which git has; "" if it names none."""
    return str(Repo(str(root)).config.read("repo").get("core", {}).get("remote", ""))


def expected_entries(root: Path) -> dict[str, LockEntry]:
    """Return what ``dvc.lock`` has to say of each stage of ``dvc.yaml``, each after the stages it depends on.

    Hashes are of the code alone, so this needs no results.

    Raises:
        UserError: if DVC cannot resolve ``dvc.yaml``, such as after a key of params.yaml was taken out.
    """
    try:
        repo = Repo(str(root))
        files, now = Files(repo, root), Contents()
        return {stage.name: _expected_entry(stage, root, files, now) for stage in _in_order(repo)}
    except DvcException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"DVC cannot resolve dvc.yaml ({reason}); correct it or params.yaml") from None


def _expected_entry(stage: DvcStage, root: Path, files: Files, now: Contents) -> LockEntry:
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    deps = {relative(dep.fs_path, root): dep for dep in stage.deps if dep not in params}
    code = {path: dep for path, dep in deps.items() if not files.are_made(path)}
    return LockEntry(
        cmd=stage.cmd,
        deps=dict.fromkeys(deps) | {path: now.hash(dep) for path, dep in code.items()},
        params={key: value for dep in params for key, value in now.params(dep).items()},
        outs=dict.fromkeys(relative(out.fs_path, root) for out in stage.outs),
    )


def _in_order(repo: Repo) -> list[DvcStage]:
    from networkx import dfs_postorder_nodes

    return list(dfs_postorder_nodes(repo.index.graph))  # edges of DVC's graph point from a stage to what it needs
