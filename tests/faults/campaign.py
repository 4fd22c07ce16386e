"""Damages what stages and commands read, limits the machine, or kills them, and tells how each case ended.

    python tests/faults/campaign.py --cases 200 --seed 1

A copy of the repository runs the whole pipeline once, at tiny lengths, and is copied for each of the processes that try
cases side by side. A case takes a stage or a subcommand of superres, and damages one file that it reads, or gives it a
small disk or few open files, or kills it at a random moment. What ends before it is done runs again, and must write
what it writes without a fault. Cases come from the seed, so one that ends badly can be run again.
"""

import argparse
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path[:0] = [*(str(ROOT / name) for name in (".", "tests", "tests/pipeline", "workflow")), str(HERE)]

import forked  # noqa: E402
from copies import Copy, copied, copied_again  # noqa: E402
from dvc_stages import stages  # noqa: E402
from subjects import CHECKPOINTS, PHOTOGRAPHS, Subject, of_stage, of_superres  # noqa: E402

from pipeline_src.files import sha256  # noqa: E402

LONGEST = 120.0  # seconds, after which a command counts as stuck
LOCK, RUNNING = "dvc.lock", ".dvc/tmp/rwlock"  # which DVC writes in place
KEPT = ("results", "params.yaml", LOCK, PHOTOGRAPHS, CHECKPOINTS)  # what a case may damage
OF_LAUNCHERS = (".snakemake_timestamp",)  # files that no stage reads or writes
GOOD = ("correct", "one sentence")
OUTCOMES = (*GOOD, "traceback", "silent", "stuck", "half-written", "other result", "other end")
Ended = dict[str, Counter[str]]  # by fault, how many cases ended how


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: int(len(content) * chance.uniform(0.1, 0.95))]


def _with_a_flipped_bit(content: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(content)
    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda content, chance: b"",
    "cut short": _cut,
    "NUL bytes": lambda content, chance: bytes(len(content)),
    "noise": lambda content, chance: chance.randbytes(max(1, len(content))),
    "no UTF-8": lambda content, chance: b"\xff\xfe" + content,
    "a flipped bit": _with_a_flipped_bit,
}
# Of a flipped bit in another file DVC knows, and a single stage cannot.
HASHED = ("results/fetch/*.png", "results/export/*.tflite", "results/export/*.onnx", "results/export/*.bin")
LOST = ("missing", "a folder")
LIMITS: dict[str, tuple[int, tuple[int, int]]] = {  # what is limited, and the range of the limit
    "a full disk": (resource.RLIMIT_FSIZE, (1_000, 300_000)),  # a file grows to so many bytes and no further
    "few open files": (resource.RLIMIT_NOFILE, (12, 60)),
}
KILLED = "killed"
LAUNCHERS = {"snakemake killed": ["snakemake", "--cores", "2"], "dvc killed": ["dvc", "repro"]}


@dataclass(frozen=True)
class Case:
    """A fault: what it happens to, its kind, and the damaged file, if it is one of a file."""

    subject: Subject
    fault: str
    file: str = ""


@dataclass
class Campaign:
    """A copy of the repository in which the pipeline has run.

    Attributes:
        copy: it.
        kept: what lay there then, which campaigns on other copies read too.
        subjects: what may be damaged or killed there, by name.
        alone: by subject, the hash of each file that it writes when it runs alone and without a fault, and the seconds
            that it takes so.
    """

    copy: Copy
    kept: Path
    subjects: dict[str, Subject]
    alone: dict[str, tuple[dict[str, str], float]] = field(default_factory=dict)

    def start(self, subject: Subject, limits: dict[int, int] | None = None) -> forked.Command:
        """Start a stage or a command."""
        environment = self.copy._environment() | {"SR_TRACKING": "off"}
        folder, arguments = self.copy.folder, subject.arguments
        return forked.start(folder, subject.module, *arguments, environment=environment, limits=limits)

    def outs(self, subject: Subject) -> dict[str, str]:
        """Return the hash of each file that a subject has written."""
        return {file: sha256(self.copy.folder / file) for file in files_among(self.copy.folder, subject.writes)}

    def restore(self) -> None:
        """Put everything back as it was before a case."""
        for name in (*KEPT, ".cache", "out"):
            path = self.copy.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for name in KEPT:
            if (self.kept / name).is_dir():
                shutil.copytree(self.kept / name, self.copy.folder / name)
            else:
                shutil.copy(self.kept / name, self.copy.folder / name)

    def run_alone(self, subject: Subject) -> tuple[dict[str, str], float]:
        """Return what ``alone`` holds of a subject, which runs for that the first time."""
        if subject.name not in self.alone:
            began = time.monotonic()
            done = self.start(subject).completed()
            assert done.returncode == 0, f"{subject.name}\n{done.stderr}"
            self.alone[subject.name] = self.outs(subject), time.monotonic() - began
            self.restore()
        return self.alone[subject.name]


def files_among(root: Path, paths: list[str]) -> list[str]:
    """Return the files among paths, and those in the folders among them, all from ``root`` on."""
    found = [file for path in paths for file in [root / path, *sorted((root / path).rglob("*"))]]
    return [file.relative_to(root).as_posix() for file in found if file.is_file() and file.name not in OF_LAUNCHERS]


def prepared(folder: Path) -> Campaign:
    """Make the copy of the repository, and run the pipeline there."""
    copy = copied(folder)
    shutil.copy(HERE / "systems.yaml", folder)
    copy.superres("preset", "add", "systems.yaml")
    copy.ran("snakemake", "--cores", "2", "report", SR_TRACKING="off")
    return of_a_run(copy)


def of_a_run(copy: Copy) -> Campaign:
    """Return the campaign on a copy in which the pipeline has run."""
    folder = copy.folder
    shutil.copytree(folder / "judged", folder / PHOTOGRAPHS)
    (folder / CHECKPOINTS).mkdir()
    _write_checkpoints(folder / CHECKPOINTS)
    kept = folder.with_name(f"{folder.name}-kept")
    kept.mkdir()
    for name in KEPT:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, kept / name)
        else:
            shutil.copy(folder / name, kept)
    possible = (*map(of_stage, stages(folder, compare=False)), *of_superres())
    made = (subject for subject in possible if all((folder / path).exists() for path in subject.reads))  # a CAR or none
    return Campaign(copy, kept, {subject.name: subject for subject in made})


def of_a_copy(origin: Campaign, folder: Path) -> Campaign:
    """Return the campaign on a copy of the copy."""
    return Campaign(copied_again(origin.copy, folder), origin.kept, origin.subjects)


def _write_checkpoints(folder: Path) -> None:
    """Write the same weights as a pickle of torch and as safetensors."""
    import torch
    from safetensors.torch import load_file

    weights = ROOT / "pipeline_src/pretrained/carn_m.safetensors"
    shutil.copy(weights, folder / "net.safetensors")
    torch.save(load_file(weights), folder / "net.pth")


def kills(campaign: Campaign, count: int) -> Iterator[Case]:
    """Yield so many kills of each phase of each stage that trains."""
    for subject in campaign.subjects.values():
        for _ in range(count * subject.phases):
            yield Case(subject, KILLED)


def kills_of_launchers(campaign: Campaign, count: int) -> Iterator[Case]:
    """Yield so many kills of the launchers in turn, each with its stages."""
    for fault in itertools.islice(itertools.cycle(LAUNCHERS), count):
        yield Case(campaign.subjects["prune@abpn_x3"], fault)


def cases(campaign: Campaign, count: int, seed: int) -> Iterator[Case]:
    """Yield random cases: of every subject, of every kind of fault, and of every file that it reads."""
    chance = random.Random(seed)
    faults = [KILLED, KILLED, *DAMAGES, *LOST, *LIMITS]
    for _ in range(count):
        subject, fault, file = chance.choice([*campaign.subjects.values()]), chance.choice(faults), ""
        if fault in DAMAGES or fault in LOST:
            choice = files_among(campaign.kept, subject.reads) or ["params.yaml"]
            if fault == "a flipped bit":
                choice = [file for file in choice if any(Path(file).match(pattern) for pattern in HASHED)]
            if not choice:
                fault = KILLED
            else:
                file = chance.choice(choice)
        yield Case(subject, fault, file)


def outcome(campaign: Campaign, case: Case, chance: random.Random) -> tuple[str, str]:
    """Run a case, and return how it ended and what was said last."""
    if case.fault in LAUNCHERS:
        return _killed_launcher(campaign, case, chance)
    _, seconds = campaign.run_alone(case.subject)
    if case.file:
        _damage(campaign.copy.folder / case.file, case.fault, chance)
        return _classified(campaign, case, campaign.start(case.subject))
    if case.fault == KILLED:
        killed = campaign.start(case.subject)
        time.sleep(chance.uniform(0, 1) * seconds)
        killed.kill()
    else:
        limit, choice = LIMITS[case.fault]
        ended = _classified(campaign, case, campaign.start(case.subject, {limit: chance.randint(*choice)}))
        if ended[0] != "one sentence":
            return ended
    # Once more, without a fault: the same files as ever, and nothing left of what has ended too early.
    again = _classified(campaign, Case(case.subject, KILLED), campaign.start(case.subject))
    return ended if case.fault != KILLED and again[0] == "correct" else again


def _damage(file: Path, fault: str, chance: random.Random) -> None:
    content = file.read_bytes()
    if fault in LOST:
        file.unlink()
        if fault == "a folder":
            file.mkdir()
    else:
        file.write_bytes(DAMAGES[fault](content, chance))


def _classified(campaign: Campaign, case: Case, command: forked.Command) -> tuple[str, str]:
    began = time.monotonic()
    while command.poll() is None:
        if time.monotonic() - began > LONGEST:
            command.kill()
            return "stuck", ""
        time.sleep(0.01)
    done = command.completed()
    said = done.stderr.strip().splitlines()
    last = said[-1] if said else ""
    if "Traceback (most recent call last)" in done.stderr:
        return "traceback", last
    if case.fault not in LIMITS and [*campaign.copy.folder.rglob("results/**/.[0-9]*")]:
        return "half-written", last  # with a limit the next run removes it
    if done.returncode == 1 and last.startswith("error: "):
        return ("one sentence", last) if case.fault != KILLED else ("other end", last)
    if done.returncode != 0:
        return "other end", f"exit status {done.returncode}: {last}"
    if case.file and last.startswith("warning: "):
        return "one sentence", last
    return _compared(case, campaign.outs(case.subject), campaign.alone[case.subject.name][0])


def _compared(case: Case, now: dict[str, str], expected: dict[str, str]) -> tuple[str, str]:
    """Return how a case ended whose command has ended well."""
    if now.keys() != expected.keys():
        return "other result", f"files differ: {sorted(now.keys() ^ expected.keys())[:3]}"
    if case.subject.repeats and now != expected:
        name = next(name for name in now if now[name] != expected[name])
        return ("silent" if case.file else "other result"), f"{name} is another"
    if not case.subject.repeats and case.file and case.fault != "missing" and case.file != "params.yaml":
        return ("correct", "") if _is_spare(case.file) else ("silent", "it went on")
    return "correct", ""


def _is_spare(file: str) -> bool:
    """Whether a stage that measures, or reports, may ignore a file: it is made for people, or for another stage."""
    if file.endswith(".safetensors"):
        return True  # the report reads tables that lie beside them
    names = (
        "images.csv",
        "inventory.csv",
        "curve.csv",
        "metrics.json",
        "layers.csv",
        "machine.json",
        "calibration.csv",
    )
    if Path(file).name.startswith("downscaler.") or Path(file).name == "lr.h5":
        return True  # files for others; the benchmark makes LR images with the weights
    if Path(file).match("crops/*/*.png") and Path(file).name in ("ptq.png", "hr.png", "bicubic.png"):
        return True  # the report shows QAT's, which every net has here, and HR and bicubic of the first net alone
    return Path(file).name in names or (file.startswith("results/operators/") and not file.endswith("operators.csv"))


def _killed_launcher(campaign: Campaign, case: Case, chance: random.Random) -> tuple[str, str]:
    """Kill a launcher and its stages while it trains and prunes abpn_x3, and run it again."""
    folder, stage = campaign.copy.folder, case.subject
    expected, _ = campaign.run_alone(stage)
    for path in (".dvc/cache", "results/train/abpn_x3", "results/nets/abpn_x3"):
        if (folder / path).exists():  # not so after another launcher ended before it ran anything
            shutil.rmtree(folder / path)
    command, environment = [*LAUNCHERS[case.fault], stage.name], campaign.copy._environment() | {"SR_TRACKING": "off"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    ) as launched:
        time.sleep(chance.uniform(1, 12))
        os.killpg(launched.pid, signal.SIGKILL)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    damaged = next((file for file in (LOCK, RUNNING) if file in done.stderr), "")
    told = done.returncode != 0 and bool(damaged) and case.fault == "dvc killed"
    if told:  # DVC refuses a file of its own that is cut short: docs/reliability.md says what to do
        (folder / damaged).unlink()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if "Traceback (most recent call last)" in done.stderr:
        return "traceback", done.stderr[-300:]
    if done.returncode:
        return "other end", f"exit status {done.returncode}: {done.stderr[-300:]}"
    ended = _compared(Case(stage, KILLED), campaign.outs(stage), expected)
    return ("one sentence", f"{damaged} is damaged") if told and ended[0] == "correct" else ended


def run(campaigns: Sequence[Campaign], tried: Sequence[Case], seed: int) -> Ended:
    """Try cases, say which ended as none should, and return how many of each kind of fault ended how.

    Args:
        campaigns: on copies of one run, of which each tries a case at a time.
        tried: the cases.
        seed: of the damages and of the moments of kills.
    """
    waiting = iter(enumerate(tried))

    def work(campaign: Campaign) -> list[tuple[str, str]]:
        ends = []
        for number, case in waiting:
            end, said = outcome(campaign, case, random.Random(f"{seed} {number}"))
            ends.append((case.fault, end))
            if end not in GOOD:
                print(f"case {number}: {case.subject.name}, {case.fault} {case.file}: {end}: {said}", flush=True)
            campaign.restore()
            if (number + 1) % 100 == 0:
                print(f"{number + 1} of {len(tried)} cases", file=sys.stderr, flush=True)
        return ends

    ended: Ended = {}
    with ThreadPoolExecutor(len(campaigns)) as pool:
        for fault, end in itertools.chain.from_iterable(pool.map(work, campaigns)):
            ended.setdefault(fault, Counter())[end] += 1
    return ended


def table(ended: Ended) -> str:
    """Return what :func:`run` returns as a table in Markdown."""
    rows = [f"| {' | '.join(['fault', 'cases', *OUTCOMES])} |", f"|---|{'---:|' * (1 + len(OUTCOMES))}"]
    for fault, ends in [*sorted(ended.items()), ("all", sum(ended.values(), Counter()))]:
        counts = [ends.total(), *(ends[end] for end in OUTCOMES)]
        rows.append(f"| {fault} | {' | '.join(map(str, counts))} |")
    return "\n".join(rows)


def main() -> int:
    """Run the campaign, print its table, and return 1 if a case ended as none should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--kills", type=int, default=1, help="how often each phase of each training is killed besides")
    parser.add_argument("--launchers", type=int, default=4, help="how often a launcher is killed, with its stages")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many cases run side by side")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "copy").mkdir()
        first = prepared(Path(folder) / "copy")
        others = [of_a_copy(first, Path(folder) / f"copy{number}") for number in range(1, args.processes)]
        killed = [*kills(first, args.kills), *kills_of_launchers(first, args.launchers)]
        ended = run([first, *others], [*killed, *cases(first, args.cases, args.seed)], args.seed)
    print(table(ended))
    return int(any(ends.keys() - {*GOOD} for ends in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
