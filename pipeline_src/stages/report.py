"""Make the report from what the benchmarks measured: tables, figures, a page for the browser, and headline metrics.

Prints where the page is, and the figures of the best int8 file.
"""

from typing import TYPE_CHECKING

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import whole_folder, write_json

if TYPE_CHECKING:
    from pipeline_src.reporting.data import ReportData

REPORT = ("index.html", "table.csv", "overview.png")  # what the run of the state keeps of it


def report() -> None:
    """Write ``results/report``.

    Raises:
        UserError: if a result that the report shows is missing or damaged.
    """
    params = config.load()
    from pipeline_src.reporting import data, headline, overview, page, selection, texts
    from pipeline_src.reporting.sections import SECTIONS
    from pipeline_src.reporting.summary import summary

    out = paths.results("report")
    with tracking.stage_run("report", None, params.model_dump()) as run:
        measured = data.read(params, paths.PARAMS.read_bytes().decode())
        # every input is read here, before the first file is written
        shown = selection.shown(measured)
        sections = [section for build in SECTIONS if (section := build(shown))]
        texts.write(shown, out)
        with whole_folder(out / "figures") as folder:
            for section in sections:
                section.draw(folder)
        overview.write(shown, out / "overview.png")
        page.write(out / "index.html", shown, sections, out / "figures")
        numbers = headline.metrics(measured.table)
        write_json(out / "metrics.json", numbers)
        run.log_metrics(headline.flatten(headline.metrics(shown.table)))
        _track(run.state, measured)
    print(*summary(out, params), sep="\n")


def _track(state: tracking.StageRun, measured: "ReportData") -> None:
    """Give the run of the pipeline's state the headline of every net, its data sets and the report.

    The measurements of each net are among the artifacts, so that ``superres compare`` can compare two states.
    """
    from pipeline_src.reporting import headline

    state.log_metrics(headline.of_nets(measured.table))
    state.set_tags({"device": ", ".join(headline.devices(measured.nets))})
    for name, spec in measured.params.sets.items():
        if paths.manifest(spec.role, name).exists():
            state.log_data(name, paths.manifest(spec.role, name), spec.role)
    devices = [name for name, device in measured.params.devices.items() if not device.is_here]
    measurements = [paths.results("benchmark", net) / name for net in measured.nets for name in paths.COMPARED]
    measurements += [paths.measured(device) / name for device in devices for name in paths.COMPARED_OF_DEVICE]
    files = {file.relative_to(paths.RESULTS).as_posix(): file for file in measurements}
    state.log_files(files | {name: paths.results("report") / name for name in REPORT})


if __name__ == "__main__":
    command.stage(report)
