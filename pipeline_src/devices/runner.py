"""The program that measures on a board: it needs Python, NumPy, and the runtimes that are to be measured.

    python runner.pyz describe
    python runner.pyz measure

Both print an :class:`~pipeline_src.devices.job.Answer` per line. ``measure`` does the ``job.json`` in its folder.
Its standard input stays open as long as the other side is there: when that has gone, the program removes the folder, so
that nothing is left behind, and ends.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.benchmarking import cpu
from pipeline_src.benchmarking.latency import Call, as_they_settle, pin, timed, upscaling_call
from pipeline_src.benchmarking.resident import MIB, peak, resident
from pipeline_src.deployment import cards, pixels, reference
from pipeline_src.deployment.formats import FORMATS, format_of
from pipeline_src.deployment.interface import Runner
from pipeline_src.devices.job import FILE, Answer, Item, Job, Machine, Measured, State
from pipeline_src.errors import UserError, is_out_of_memory

LIBRARIES = ("numpy", *dict.fromkeys(file_format.RUNTIME for file_format in FORMATS.values()), "tflite-runtime")
OUT_OF_MEMORY = "the device has not enough memory for it"


def main() -> None:
    """Run one of the commands of the module's docstring, or ``try``, which :func:`_tried` starts."""
    command, *arguments = sys.argv[1:]
    if command == "describe":
        _print(Answer(machine=describe()))
    elif command == "measure":
        _end_when_alone()
        measure(Job.loads(Path(FILE).read_text()))
    elif command == "try":
        item, threads = Item(**json.loads(arguments[0])), int(arguments[1])
        pin(threads)
        sys.stdout.write(json.dumps(_try_out(item, threads)))


def describe() -> Machine:
    """Return what the device is."""
    return Machine(
        cpu=cpu.model(),
        cpu_features=cpu.features(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        versions=dict(_versions()),
    )


def measure(job: Job) -> None:
    """Print what is measured of each file, each as soon as it is known."""
    for group in job.groups:
        tried = {item.name: _tried(item, job.threads) if item.reference else {} for item in group}
        pin(job.threads)
        calls: dict[str, Call] = {}
        for item in group:
            try:
                if not tried[item.name].get("fails"):
                    calls[item.name] = _call(item, job.threads)
            except Exception as error:
                tried[item.name]["fails"] = _reason(error)
        for name, found in tried.items():
            if name not in calls:
                _print(Answer(measured=Measured(name, **found)))
        before = _state()
        for name, parts in as_they_settle(calls, **job.limits):  # type: ignore[arg-type]
            total, infer = parts.get("total", parts.get("ms")), parts.get("infer")
            _print(
                Answer(measured=Measured(name, **tried[name], total=total, infer=infer, before=before, after=_state()))
            )


def _versions() -> Iterator[tuple[str, str]]:
    for library in LIBRARIES:
        try:
            yield library, version(library)
        except PackageNotFoundError:
            continue


def _call(item: Item, threads: int) -> Call:
    """Return what times a file: it upscales an image, or runs on random tensors if it has no reference."""
    file = Path(item.timed)
    if not item.reference:
        return timed(format_of(file).raw_call(file, (item.height, item.width), threads))
    return upscaling_call(_load(file, threads), item.height, item.width)


def _load(file: Path, threads: int) -> Runner:
    card = cards.parse(cards.path_of(file).read_text())
    return format_of(file).load(file, card, threads)


def _tried(item: Item, threads: int) -> dict[str, Any]:
    """Run a file in a process of its own, because a runtime may crash; return fields of :class:`Measured`.

    Blocks of a net are not tried out: there are many, and a process takes seconds on a small board.
    """
    command = [sys.executable, sys.argv[0], "try", json.dumps(asdict(item)), str(threads)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return {"fails": f"it crashes its process (signal {-done.returncode})"}
    if done.returncode:
        return {"fails": (done.stderr.strip().splitlines() or ["its process ends without a reason"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _try_out(item: Item, threads: int) -> dict[str, Any]:
    """Measure memory and agreement of a file in this process; return fields of :class:`Measured`."""
    try:
        format_of(Path(item.timed)).import_runtime()
        pixels.from_nhwc(np.zeros((1, 4, 4, 3), np.float32))
        image = np.zeros((item.height, item.width, 3), np.uint8)
        before = resident()
        runner = _load(Path(item.timed), threads)
        runner(image)
        grown = (peak() - before) / MIB
        lr, expected = (np.load(name, allow_pickle=False) for name in (item.lr, item.reference))
        whole = runner if item.timed == item.file else _load(Path(item.file), threads)
        agreement = reference.of_file(whole, [runner] if runner.size else [], lr, expected)
    except Exception as error:
        return {"fails": _reason(error)}
    return {"peak_memory_mb": grown, "agreement": agreement.columns("there")}


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed there"
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _state() -> State:
    return State(cpu.celsius(), cpu.megahertz())


def _print(answer: Answer) -> None:
    sys.stdout.write(f"{json.dumps(asdict(answer))}\n")
    sys.stdout.flush()


def _end_when_alone() -> None:
    """Remove the working folder and end this process, and those that it has started, when standard input ends."""
    if os.getpgrp() != os.getpid():  # an SSH server makes it the first of its group
        os.setpgrp()

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not by sys.stdin, whose lock Python needs at its end
            pass
        shutil.rmtree(Path.cwd(), ignore_errors=True)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
