"""The exported TFLite files, measured on a phone by TFLite's own benchmark_model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import numpy as np

from pipeline_src import config
from pipeline_src.benchmarking import cpu
from pipeline_src.config.devices import CPU, GPU
from pipeline_src.deployment import pixels, reference, runtimes
from pipeline_src.devices import benchmark_model, exports
from pipeline_src.devices.adb import Phone
from pipeline_src.devices.benchmark_model import Report
from pipeline_src.devices.exports import Exported
from pipeline_src.devices.job import Machine, Measured, State
from pipeline_src.devices.kept import Kept, key_of
from pipeline_src.devices.transport import persist
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.progress import progress_bar
from pipeline_src.tables import Row

FORMAT = "tflite"
PROGRAM = "benchmark_model"
CALLS = 5  # timed calls of a turn, which is a run of the program
TURNS, MOST_TURNS = 6, 18  # of a file: six are the fewest that give a confidence interval
LR, SR = "lr.bin", "sr.bin"  # the tensor that the program reads, and the one that it writes
LIBRARIES = "LD_LIBRARY_PATH=. ADSP_LIBRARY_PATH=."  # where those of a delegate lie, for the CPU and a Hexagon NPU
PROPERTIES = ("ro.product.manufacturer", "ro.product.model", "ro.soc.model", "ro.build.version.release")
STATE = (
    "cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null; echo; "
    "cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq 2>/dev/null; true"
)


@dataclass
class Timed:
    """A file with one delegate, while it is timed.

    Attributes:
        file: the file.
        name: of the delegate.
        flags: of the program, for the delegate and the threads.
        key: under which its measurement is kept.
        reports: the runs of the program.
        fails: why it cannot be run, or "".
    """

    file: Exported
    name: str
    flags: str
    key: str
    reports: list[Report] = field(default_factory=list)
    fails: str = ""

    def needs_more(self, interval: float) -> bool:
        """Return whether another turn is needed."""
        if self.fails or len(self.reports) >= MOST_TURNS:
            return False
        return len(self.reports) < TURNS or not benchmark_model.latency(self.reports, interval).settled


def measure(
    name: str, device: config.Device, groups: list[list[Exported]], spec: config.Benchmark, threads: int, kept: Kept
) -> tuple[Machine, list[Row]]:
    """Measure the TFLite files with each delegate of a phone; arguments as for :func:`.board.measure`.

    A turn is a run of benchmark_model; the files and delegates of a group take turns. What is timed is the runtime
    alone, without the conversion of images.
    """
    tools = dict(_tools(name, device))
    conditions = [device.model_dump(), {tool: sha256(file) for tool, file in tools.items()}, spec.model_dump(), threads]
    timed = [
        [
            Timed(file, delegate, _flags(delegate, of, threads), key_of(file.card.files, delegate, *conditions))
            for file in group
            if file.card.format == FORMAT
            for delegate, of in device.delegates.items()
        ]
        for group in groups
    ]
    phone = Phone(name, device)
    machines: list[Machine] = []
    with progress_bar(None, f"on {name}", "file", total=sum(map(len, timed))) as bar:

        def work() -> None:
            phone.put(tools)
            [*phone.run(f"chmod 755 {PROGRAM}")]
            machines.append(_described(phone, sha256(tools[PROGRAM])))
            for group in timed:
                for one, measured in _measured(phone, [one for one in group if not kept.get(one.key)], spec, threads):
                    kept.add(one.key, measured)
                    bar.update()

        persist(phone, work, kept.count)
    found = [(one, kept.get(one.key)) for group in timed for one in group]
    return machines[-1], [
        exports.row(one.file, measured, threads, "" if one.name == CPU else one.name)
        for one, measured in found
        if measured
    ]


def _tools(name: str, device: config.Device) -> Iterator[tuple[str, Path]]:
    """Yield what the phone needs beside the models, by the names there; UserError for a file that is not here."""
    needed = [(PROGRAM, device.benchmark_model or "", f"devices.{name}.benchmark_model")]
    for delegate, of in device.delegates.items():
        libraries = [of.library, *of.files] if of.library else []
        needed += [(Path(file).name, file, f"devices.{name}.delegates.{delegate}") for file in libraries if file]
    for tool, file, key in needed:
        if not Path(file).expanduser().is_file():
            raise UserError(f"{file}, which {key} names, does not exist; correct the path")
        yield tool, Path(file).expanduser()


def _flags(name: str, delegate: config.Delegate, threads: int) -> str:
    flags = f"--num_threads={threads}"
    if name == GPU:
        return f"{flags} --use_gpu=true"
    if delegate.library is None:
        return flags
    options = f" --external_delegate_options={quote(delegate.options)}" if delegate.options else ""
    return f"{flags} --external_delegate_path=./{quote(Path(delegate.library).name)}{options}"


def _measured(
    phone: Phone, timed: list[Timed], spec: config.Benchmark, threads: int
) -> Iterator[tuple[Timed, Measured]]:
    """Measure files in turns, and yield each when it leaves them."""
    if not timed:
        return
    agreements = {id(one): _agreement(phone, one, threads) for one in timed}
    seconds = f"--min_secs=0 --warmup_min_secs=0 --max_secs={spec.max_seconds:g}"
    before, active = _state(phone), timed
    while active:
        for one in active:
            report = _run(phone, one, f"--num_runs={CALLS} --warmup_runs={spec.warmup} {seconds}")
            if isinstance(report, str):
                one.fails = report
            else:
                one.reports.append(report)
        for one in active:
            if not one.needs_more(spec.interval):
                yield one, _summary(one, agreements[id(one)], spec.interval, before, _state(phone))
        active = [one for one in active if one.needs_more(spec.interval)]


def _summary(
    one: Timed, agreement: dict[str, float | str] | None, interval: float, before: State, after: State
) -> Measured:
    if one.fails:
        return Measured(one.file.name, one.fails, before=before, after=after)
    latency, memory = benchmark_model.latency(one.reports, interval), [report.memory_mb for report in one.reports]
    return Measured(
        one.file.name,
        total=latency,
        infer=latency,
        peak_memory_mb=max((mb for mb in memory if mb is not None), default=None),
        agreement=agreement,
        timed_by=benchmark_model.described(one.reports),
        before=before,
        after=after,
    )


def _agreement(phone: Phone, one: Timed, threads: int) -> dict[str, float | str] | None:
    """Compare the image that a file gives there with that of the file of any size here, which the benchmark compares.

    Returns:
        Cells of :meth:`pipeline_src.deployment.reference.Agreement.columns`; None if the program there cannot read and
        write tensors, as those of before 2023.
    """
    exported, card = one.file, one.file.card
    lr = reference.lr_image(exported.height, exported.width)
    phone.put({exported.file.name: exported.file, LR: pixels.to_nhwc(lr, card.input.dtype).tobytes()})
    tensors = (
        f"--input_layer=lr --input_layer_shape=1,{exported.height},{exported.width},3 "
        f"--input_layer_value_files=lr:{LR} --output_filepath={SR}"
    )
    _run(phone, one, f"--num_runs=1 --warmup_runs=1 --min_secs=0 --warmup_min_secs=0 {tensors}")
    expected = runtimes.load(exported.whole, threads)(lr)
    sr = np.frombuffer(phone.get(SR), np.uint8)
    [*phone.run(f"rm -f {SR}")]
    if sr.nbytes != expected.size * np.dtype(card.output.dtype).itemsize:
        return None
    image = pixels.from_nhwc(sr.view(card.output.dtype).reshape(1, *expected.shape))
    return reference.compare(image, expected).columns("there")


def _run(phone: Phone, one: Timed, flags: str) -> Report | str:
    """Run the program once; what it prints of a crash is read too, so its exit status is not asked for."""
    graph = f"--graph={quote(one.file.file.name)}"
    return benchmark_model.read(phone.run(f"{LIBRARIES} ./{PROGRAM} {graph} {flags} {one.flags}; true"))


def _described(phone: Phone, program_sha256: str) -> Machine:
    """Return what the phone is; the version of the program is its hash, because it prints none."""
    maker, model, chip, android = (_said(phone, f"getprop {name}") for name in PROPERTIES)
    features = _said(phone, "grep -m1 Features /proc/cpuinfo").split()
    return Machine(
        cpu=f"{chip} of {maker} {model}",
        cpu_features=" ".join(name for name in cpu.FEATURES if name in features) or "unknown",
        cores=_number(_said(phone, "nproc")),
        memory_gib=round(_number(_said(phone, "grep MemTotal /proc/meminfo")) / 2**20, 1),
        system=f"Android {android}",
        python="",
        versions={PROGRAM: program_sha256[:12]},
    )


def _said(phone: Phone, command: str) -> str:
    return " ".join(" ".join(phone.run(f"{command} 2>/dev/null; true")).split())


def _number(text: str) -> int:
    """Return the first whole number in a text, or 0."""
    return next((int(word) for word in text.split() if word.isdecimal()), 0)


def _state(phone: Phone) -> State:
    """Return temperature and frequency, where the phone lets a shell read them."""
    lines = [line.strip() for line in phone.run(STATE)]
    split = lines.index("") if "" in lines else len(lines)
    celsius, mhz = ([int(text) / 1000 for text in part if text.isdecimal()] for part in (lines[:split], lines[split:]))
    return State(max(celsius, default=None), max(mhz, default=None))
