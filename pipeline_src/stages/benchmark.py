"""Measure the exported files of one system's nets: quality on every evaluation set, latency, memory and size.

Also compares the image that each file gives on this machine with the one that its net gave in torch at export.
"""

import tempfile
from pathlib import Path

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import whole_folder, write_json
from pipeline_src.tables import write_table


def benchmark(system: str) -> None:
    """Write ``results/benchmark/<system>``: tables, crops, and for a learned downscaler its LR images.

    Raises:
        UserError: if the stage export or fetch has not run, or if an evaluation set is not what its manifest says, or
            has LR images of its own but not at every scale.
    """
    params = config.load()
    import pandas as pd

    from pipeline_src.benchmarking import costs, downscalers, machine, quality, tables
    from pipeline_src.benchmarking.images import EvaluationImages
    from pipeline_src.benchmarking.latency import pin
    from pipeline_src.benchmarking.learned_lr import LearnedLR, write_comparison
    from pipeline_src.datasets import own_lr
    from pipeline_src.datasets.fetched import images_of
    from pipeline_src.deployment import cards

    spec = params.benchmark
    folders = {name: paths.images_folder("evaluation", name) for name in params.sets_for("evaluation")}
    sets = {name: images_of(folder, spec.threads) for name, folder in folders.items()}
    every_file = cards.read_folder(paths.results("export", system))
    exported = {file: card for file, card in every_file.items() if not card.downscales}
    files = {file: card for file, card in exported.items() if not card.fails}
    downscaler_files = {file: card for file, card in every_file.items() if card.downscales}
    of_downscaler = {file: card for file, card in downscaler_files.items() if not card.fails}
    main_net = tables.main_net(system, files)
    for name, folder in folders.items():
        own = own_lr.scales_of(folder)
        own_lr.refuse_missing_scales(name, own, {card.scale for card in files.values()})
    main_files = {file: card for file, card in files.items() if card.system == main_net}
    # Timed before the MLflow run starts, which samples the load of the machine and would be timed too.
    pin(max([spec.threads, *spec.sweep]))
    sweep = list(costs.sweep_threads(main_files, spec))
    pin(spec.threads)
    file_costs = pd.DataFrame(costs.measure_costs(files, spec))
    downscaler_costs = downscalers.costs(of_downscaler, spec)
    with (
        tracking.stage_run("benchmark", system, {"sets": list(sets), **spec.model_dump()}) as run,
        whole_folder(paths.results("benchmark", system)) as out,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for name in sets:
            run.log_data(name, paths.manifest("evaluation", name), "evaluation")
        run.set_tags({f"input/{file.as_posix()}": card.files[file.name] for file, card in every_file.items()})
        weights, main_folder = paths.downscaler_weights(system), tables.net_folder(out, main_net)
        learned_lr = LearnedLR(weights, spec.threads) if weights.exists() else None
        evaluation = EvaluationImages(sets, spec.threads, Path(scratch))
        evaluator = quality.Evaluator(evaluation, spec.threads, learned_lr)
        crops = quality.Crops(main_folder / "crops", spec.crops, spec.crop_size)
        images, agreements = quality.measure_files(files, evaluator, main_net, crops)
        if learned_lr:
            write_comparison(learned_lr, main_files, evaluation, spec.threads, out)
        if learned_lr and of_downscaler:
            rows = downscalers.measure(of_downscaler, main_files, learned_lr, evaluation, spec.threads)
            write_table(out / "downscaler.csv", downscalers.table(list(rows), downscaler_costs, downscaler_files))
        table = tables.combine(images, file_costs, agreements, exported, list(sets))
        tables.write(out, files, images, table)
        for net in {card.system for card in files.values()}:
            write_json(tables.net_folder(out, net) / "machine.json", machine.describe(spec.threads))
        write_table(out / "threads.csv", sweep, costs.SWEEP_COLUMNS)
        run.log_metrics(tables.tracked_metrics(table))
        run.log_artifact(main_folder / "benchmark.csv")


if __name__ == "__main__":
    command.stage(benchmark, "system")
