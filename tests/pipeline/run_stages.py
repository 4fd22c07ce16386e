"""Runs stages side by side, each in a process of its own after those that it needs: ``run_stages.py plan.json``.

Starting Python and importing torch takes most of the time of a stage with a tiny training. Here the processes are
forked from one that has imported everything already.
"""

import json
import multiprocessing
import os
import runpy
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

IMPORTED = [
    *("torch", "torchao", "scipy", "h5py", "pandas", "matplotlib", "onnx", "onnxruntime", "openvino", "skimage"),
    *("pipeline_src.training.session", "pipeline_src.compression.quantization", "pipeline_src.exporting"),
    *("pipeline_src.compression.pruning", "pipeline_src.searching.search", "pipeline_src.upscaling"),
]


def run(name: str) -> int:
    """Run one stage as its command does, and return its exit status."""
    verb, _, item = name.partition("@")
    log = Path(".cache/logs") / f"{name}.log"
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = [verb, *([item] if item else [])]
    try:
        runpy.run_module(f"pipeline_src.stages.{verb}", run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> None:
    """Run the stages of the plan, a list of [name, names of the stages it needs]; stop at the first that fails."""
    plan: list[tuple[str, list[str]]] = json.loads(Path(sys.argv[1]).read_text())
    Path(".cache/logs").mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    left, done, running = dict(plan), set(), dict[Any, str]()
    with ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
        while left or running:
            for name in [name for name, needs in left.items() if done.issuperset(needs)]:
                running[pool.submit(run, name)] = name
                del left[name]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if status := future.result():
                    pool.shutdown(cancel_futures=True)
                    sys.exit(
                        f"{name} ended with {status}:\n{(Path('.cache/logs') / f'{name}.log').read_text()[-4000:]}"
                    )
                done.add(name)


if __name__ == "__main__":
    main()
