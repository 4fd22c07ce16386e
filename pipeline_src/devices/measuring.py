"""Measurement on a board by the program of :mod:`.program`."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline_src.benchmarking.latency import Latency
from pipeline_src.deployment.formats import format_of
from pipeline_src.deployment.interface import Size
from pipeline_src.devices import program
from pipeline_src.devices.job import FILE, Answer, Item, Job, Machine, Measured
from pipeline_src.devices.kept import Kept, key_of
from pipeline_src.devices.ssh import Board
from pipeline_src.devices.transport import persist
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.progress import progress_bar

Files = Mapping[str, Path | bytes]  # what lies on the device, by its name there


@dataclass(frozen=True)
class Request:
    """A file to measure, with what has to lie on the device for it."""

    item: Item
    files: Files


def on_board(board: Board, job: Job, requests: Iterable[Request], kept: Kept) -> tuple[Machine, dict[str, Measured]]:
    """Measure files on a board, and go on after a lost connection where it was lost.

    Args:
        board: the board.
        job: threads and limits; its groups name the items that take turns.
        requests: of all items of the job.
        kept: keeps each measurement as soon as the board has sent it.

    Returns:
        What the board is, and what was measured, by the names of the items.

    Raises:
        UserError: if the board cannot be reached or used, or the connection was lost too often.
    """
    wanted = {request.item.name: request for request in requests}
    found: dict[str, Measured] = {}
    machines: list[Machine] = []
    with progress_bar(None, f"on {board.name}", "file", total=len(wanted)) as bar:

        def work() -> None:
            board.put({program.NAME: program.build()})
            machine = describe(board)
            machines.append(machine)
            keys = {name: _key(request, job, board, machine) for name, request in wanted.items()}
            found.update({name: before for name, key in keys.items() if (before := kept.get(key))})
            bar.update(len(found) - bar.n)
            for measured in _missing(board, job, [wanted[name] for name in wanted if name not in found]):
                kept.add(keys[measured.name], measured)
                found[measured.name] = measured
                bar.update()

        persist(board, work, lambda: len(found))
    return machines[-1], found


def time_files(
    board: Board, files: Mapping[str, Path], size: Size, threads: int, limits: dict[str, float], kept: Kept
) -> tuple[Machine, dict[str, Latency]]:
    """Time files on random tensors on a board, all in turns.

    Args:
        board: the board.
        files: by a name for each.
        size: height and width of the tensors.
        threads: number of threads of the runtimes.
        limits: those of :func:`pipeline_src.benchmarking.latency.in_turns`.
        kept: keeps what has been timed, should the connection be lost.

    Raises:
        UserError: if the board cannot be reached or used, or cannot run one of the files.
    """
    requests = [
        Request(Item(name, file.name, *size), {part.name: part for part in format_of(file).parts(file)})
        for name, file in files.items()
    ]
    machine, found = on_board(board, Job(threads, limits, [[request.item for request in requests]]), requests, kept)
    if fails := [measured.fails for measured in found.values() if measured.fails]:
        raise UserError(f"device {board.name}: {fails[0]}; install it there, or choose what it has")
    return machine, {name: measured.total for name, measured in found.items() if measured.total}


def describe(board: Board) -> Machine:
    """Return what a board is, by the program in its folder.

    Raises:
        UserError: if its Python is missing, or not fit for the program.
    """
    answers = [*_answers(board, "describe")]
    if not answers or not answers[0].machine:
        raise UserError(f"device {board.name}: {board.python} runs no program; correct devices.{board.name}.python")
    return answers[0].machine


def _missing(board: Board, job: Job, requests: list[Request]) -> Iterator[Measured]:
    """Measure what is missing, and yield each measurement as it comes."""
    names = {request.item.name for request in requests}
    if not names:
        return
    groups = [[item for item in group if item.name in names] for group in job.groups]
    files = {name: content for request in requests for name, content in request.files.items()}
    board.put(files | {FILE: replace(job, groups=[group for group in groups if group]).dumps().encode()})
    for answer in _answers(board, "measure"):
        if answer.measured and answer.measured.name in names:
            yield answer.measured
            names.remove(answer.measured.name)
    if names:
        raise UserError(f"device {board.name}: it has not measured {min(names)}; run the stage again")


def _answers(board: Board, command: str) -> Iterator[Answer]:
    """Run the program and yield its answers.

    Raises:
        UserError: if the board's Python is not fit for the program, or it prints something else.
    """
    answer_of = TypeAdapter(Answer)
    for line in board.run(f"{board.python} {program.NAME} {command}"):
        try:
            answer = answer_of.validate_json(line)
        except ValidationError:
            raise UserError(
                f"device {board.name}: its program prints {line.strip()[:80]!r} among its measurements; see what "
                f"{board.python} prints there by itself"
            ) from None
        if answer.refuses:
            raise UserError(f"device {board.name}: {answer.refuses}; correct devices.{board.name}.python")
        yield answer


def _key(request: Request, job: Job, board: Board, machine: Machine) -> str:
    contents = {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256(content)
        for name, content in request.files.items()
    }
    return key_of(asdict(request.item), contents, job.threads, job.limits, board.address, asdict(machine))
