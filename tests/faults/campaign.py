"""Damages what stages read, or kills them, and tells how each case ended: ``make faults``.

    python tests/faults/campaign.py --cases 200 --seed 1

A copy of the repository runs the whole pipeline once, at tiny lengths. A case then takes one stage, damages one file
that another stage has written for it (or params.yaml), or kills the stage at a random moment and runs it again, and
compares what it wrote with what it writes without a fault. Cases come from the seed, so one that ends badly can be run
again.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/pipeline"), str(ROOT / "workflow")]

import forked  # noqa: E402
from copies import Copy, copied  # noqa: E402
from dvc_stages import Stage, stages  # noqa: E402

from pipeline_src.files import sha256  # noqa: E402

LONGEST = 120.0  # seconds, after which a stage counts as stuck
# What these write is measured, and differs from run to run.
MEASURING = ("benchmark", "operators", "search", "report")
GOOD = ("correct", "one sentence")
OUTCOMES = (*GOOD, "traceback", "silent", "stuck", "half-written", "other result", "other end")


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: int(len(content) * chance.uniform(0.1, 0.95))]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda content, chance: b"",
    "cut short": _cut,
    "NUL bytes": lambda content, chance: bytes(len(content)),
    "noise": lambda content, chance: chance.randbytes(max(1, len(content))),
    "no UTF-8": lambda content, chance: b"\xff\xfe" + content,
}
LOST = ("missing", "a folder")


@dataclass(frozen=True)
class Case:
    """A fault: a stage, what happens, and to which file; a kill has none."""

    stage: str
    fault: str
    file: str = ""


@dataclass
class Campaign:
    """A copy of the repository in which the pipeline has run.

    Attributes:
        copy: it.
        kept: what its results were then.
        stages: those of dvc.yaml, by name.
        outs: hash of each file that a stage writes, when it runs alone and without a fault.
        seconds: that each stage takes so.
    """

    copy: Copy
    kept: Path
    stages: dict[str, Stage]
    outs: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def start(self, stage: str) -> forked.Command:
        """Start a stage."""
        verb, _, item = stage.partition("@")
        environment = self.copy._environment() | {"SR_TRACKING": "off"}
        arguments = [item] if item else []
        return forked.start(self.copy.folder, f"pipeline_src.stages.{verb}", *arguments, environment=environment)

    def written(self, stage: str) -> dict[str, str]:
        """Return the hash of each file that a stage has written."""
        outs = [*self.stages[stage].files, *self.stages[stage].folders]
        return {file: sha256(self.copy.folder / file) for file in _files(self.copy.folder, outs)}

    def restore(self) -> None:
        """Put everything back as it was before a case."""
        for name in ("results", ".cache", "params.yaml"):
            path = self.copy.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copytree(self.kept / "results", self.copy.folder / "results")
        shutil.copy(self.kept / "params.yaml", self.copy.folder / "params.yaml")

    def measure(self, stage: str) -> None:
        """Run a stage without a fault, and keep what it writes and how long it takes."""
        began = time.monotonic()
        done = self.start(stage).completed()
        assert done.returncode == 0, done.stderr
        self.seconds[stage], self.outs[stage] = time.monotonic() - began, self.written(stage)
        self.restore()


def prepared(folder: Path) -> Campaign:
    """Make the copy of the repository, and run the pipeline there."""
    copy = copied(folder)
    copy.ran("snakemake", "--cores", "2", "report", SR_TRACKING="off")
    kept = folder.with_name(f"{folder.name}-kept")
    shutil.copytree(folder / "results", kept / "results")
    shutil.copy(folder / "params.yaml", kept)
    campaign = Campaign(copy, kept, {stage.name: stage for stage in stages(folder, compare=False)})
    for stage in campaign.stages:
        campaign.measure(stage)
    return campaign


def cases(campaign: Campaign, count: int, seed: int) -> Iterator[Case]:
    """Yield random cases: of every stage, of every kind of fault, and of every file that it reads."""
    chance = random.Random(seed)
    faults = ["killed", "killed", *DAMAGES, *LOST]
    for _ in range(count):
        stage = chance.choice([*campaign.stages])
        fault = chance.choice(faults)
        yield Case(stage, fault, "" if fault == "killed" else chance.choice(_inputs(campaign, stage)))


def _inputs(campaign: Campaign, stage: str) -> list[str]:
    """Return the files that a stage reads and others have written, and params.yaml."""
    read = [path for path in campaign.stages[stage].inputs if path.startswith("results/")]
    return ["params.yaml", *_files(campaign.kept, read)]


def _files(root: Path, paths: list[str]) -> list[str]:
    """Return the files among paths, and those in the folders among them, all from ``root`` on."""
    found = [file for path in paths for file in [root / path, *sorted((root / path).rglob("*"))]]
    return [file.relative_to(root).as_posix() for file in found if file.is_file()]


def outcome(campaign: Campaign, case: Case, chance: random.Random) -> tuple[str, str]:
    """Run a case, and return how it ended and what was said last."""
    if case.fault == "killed":
        killed = campaign.start(case.stage)
        time.sleep(chance.uniform(0, 1) * campaign.seconds[case.stage])
        killed.kill()
        # Files of the killed process are removed by the next one; what is not, is half-written.
    else:
        _damage(campaign.copy.folder / case.file, case.fault, chance)
    command = campaign.start(case.stage)
    began = time.monotonic()
    while command.poll() is None:
        if time.monotonic() - began > LONGEST:
            command.kill()
            return "stuck", ""
        time.sleep(0.01)
    return _classified(campaign, case, command)


def _damage(file: Path, fault: str, chance: random.Random) -> None:
    content = file.read_bytes()
    if fault in LOST:
        file.unlink()
        if fault == "a folder":
            file.mkdir()
    else:
        file.write_bytes(DAMAGES[fault](content, chance))


def _classified(campaign: Campaign, case: Case, command: forked.Command) -> tuple[str, str]:
    done = command.completed()
    said = done.stderr.strip().splitlines()
    last = said[-1] if said else ""
    if "Traceback (most recent call last)" in done.stderr:
        return "traceback", last
    if [*(campaign.copy.folder / "results").rglob(".[0-9]*")]:
        return "half-written", last
    if done.returncode == 1 and last.startswith("error: "):
        return ("one sentence", last) if case.fault != "killed" else ("other end", last)
    if done.returncode != 0:
        return "other end", f"exit status {done.returncode}: {last}"
    now, expected = campaign.written(case.stage), campaign.outs[case.stage]
    if now.keys() != expected.keys():
        return "other result", f"files differ: {sorted(now.keys() ^ expected.keys())[:3]}"
    verb = case.stage.partition("@")[0]
    if verb not in MEASURING and now != expected:
        name = next(name for name in now if now[name] != expected[name])
        return ("silent" if case.file else "other result"), f"{name} is another"
    if verb in MEASURING and case.file and case.fault != "missing" and case.file != "params.yaml":
        return ("correct", "") if _is_spare(case.file) else ("silent", "it went on")
    return "correct", ""


def _is_spare(file: str) -> bool:
    """Whether a stage that measures, or reports, may ignore a file: it is made for people, or for another stage."""
    if file.startswith("results/nets/") and file.endswith("/weights.safetensors"):
        return True  # the report reads what the search has found, beside them
    names = ("inventory.csv", "curve.csv", "metrics.json", "layers.csv", "machine.json", "calibration.csv")
    return Path(file).name in names or (file.startswith("results/operators/") and not file.endswith("operators.csv"))


def main() -> int:
    """Run the campaign, print its table, and return 1 if a case ended as none should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    ended: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "copy").mkdir()
        campaign = prepared(Path(folder) / "copy")
        for number, case in enumerate(cases(campaign, args.cases, args.seed)):
            end, said = outcome(campaign, case, random.Random(f"{args.seed} {number}"))
            ended.setdefault(case.fault, Counter())[end] += 1
            if end not in GOOD:
                print(f"case {number}: {case.stage}, {case.fault} {case.file}: {end}: {said}", flush=True)
            campaign.restore()
    print(f"| {' | '.join(['fault', 'cases', *OUTCOMES])} |\n|---|{'---:|' * (1 + len(OUTCOMES))}")
    for fault, ends in [*sorted(ended.items()), ("all", sum(ended.values(), Counter()))]:
        counts = [ends.total(), *(ends[end] for end in OUTCOMES)]
        print(f"| {fault} | {' | '.join(map(str, counts))} |")
    return int(any(ends.keys() - {*GOOD} for ends in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
