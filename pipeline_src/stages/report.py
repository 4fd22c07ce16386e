"""Make the report from what the benchmarks measured: tables, figures, a page for the browser, and headline metrics."""

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import whole_folder, write_json


def report() -> None:
    """Write ``results/report``.

    Raises:
        UserError: if a result that the report shows is missing or damaged.
    """
    params = config.load()
    from pipeline_src.reporting import data, headline, overview, page, texts
    from pipeline_src.reporting.sections import SECTIONS

    out = paths.results("report")
    with tracking.stage_run("report", None, params.model_dump()) as run:
        measured = data.read(params, paths.PARAMS.read_bytes().decode())
        # every input is read here, before the first file is written
        sections = [section for build in SECTIONS if (section := build(measured))]
        texts.write(measured, out)
        with whole_folder(out / "figures") as folder:
            for section in sections:
                section.draw(folder)
        overview.write(measured, out / "overview.png")
        page.write(out / "index.html", measured, sections, out / "figures")
        numbers = headline.metrics(measured.table)
        write_json(out / "metrics.json", numbers)
        run.log_metrics(headline.flatten(numbers))
        for file in ("index.html", "table.csv", "overview.png"):
            run.log_artifact(out / file)


if __name__ == "__main__":
    command.stage(report)
