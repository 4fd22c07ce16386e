"""The code that each stage of dvc.yaml depends on, from imports: ``python workflow/code_deps.py --check|--write``.

A stage depends on every module that its script imports, directly or by way of others, on the data files those modules
read, and on the net and the downscaler that its entry in params.yaml names. A package whose modules are all needed
stands as one folder. What every stage goes through, and no output depends on, is left out: a word in a help text would
otherwise retrain every system.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
SHARED = ("command", "config", "errors", "files", "paths", "progress", "tracking", "unchanged")
DEFAULTS = "pipeline_src.config.degradation"  # what a key that is left out stands for is in no param that DVC compares
DATA = (".csv", ".html", ".css", ".js")
# Packages of which a stage runs what params.yaml names: for each stage the path that stands for it in dvc.yaml.
OF_ONE_SYSTEM = ("train", "quantize", "export", "benchmark")
NETS = dict.fromkeys(OF_ONE_SYSTEM, "pipeline_src/models/${item.model}")
NETS |= {"search": "pipeline_src/models/once_for_all", "prune": "pipeline_src/models", "tune": "pipeline_src/models"}
DOWNSCALERS = dict.fromkeys(OF_ONE_SYSTEM, "pipeline_src/downscaling/${item.downscaler.model}")


def import_graph() -> grimp.ImportGraph:
    """Return the imports between the modules of the package, without those for type checking and of shared code."""
    graph = grimp.build_graph("pipeline_src", exclude_type_checking_imports=True, cache_dir=None)
    shared = {f"pipeline_src.{name}" for name in SHARED}
    shared |= {module for package in shared for module in graph.find_descendants(package)}
    readers = graph.find_modules_that_directly_import(DEFAULTS) - shared
    for module in shared:
        graph.remove_module(module)
    for reader in readers:
        graph.add_import(importer=reader, imported=DEFAULTS)
    return graph


def file_of(module: str) -> Path:
    """Return the source of a module, relative to the root."""
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def nets(graph: grimp.ImportGraph) -> set[str]:
    """Return the packages of the nets."""
    return graph.find_children("pipeline_src.models") - {"pipeline_src.models.layers"}


def modules_of(stage: str, graph: grimp.ImportGraph) -> set[str]:
    """Return the modules that a stage runs, but for the net and the downscaler that params.yaml names."""
    script = f"pipeline_src.stages.{stage}"
    modules = graph.find_upstream_modules(script) | {script}
    named: list[str] = []
    if stage in NETS:
        named += sorted(nets(graph))
    if stage in DOWNSCALERS:
        named += sorted(graph.find_children("pipeline_src.downscaling"))
    for package in named:
        inside = graph.find_descendants(package) | {package}
        modules |= {other for module in inside for other in graph.find_upstream_modules(module)} - inside
        modules -= inside
    parents = {".".join(names[:depth]) for names in (m.split(".") for m in modules) for depth in range(1, len(names))}
    parents -= {"pipeline_src", "pipeline_src.config"}  # no stage's output depends on what they export
    return {module for module in modules | parents if _has_code(ROOT / file_of(module))}


def code_deps(stage: str, graph: grimp.ImportGraph) -> list[str]:
    """Return the code that a stage depends on, as paths of dvc.yaml, its script first."""
    files = {file_of(module) for module in modules_of(stage, graph)}
    files |= {data for data in _data_files() for file in files if file.parent == data.parent and _reads(file, data)}
    script = Path(f"pipeline_src/stages/{stage}.py")
    folders = {folder for file in files for folder in file.parents[:-2]}
    deps = files - {script} | {folder for folder in folders if len(_code_in(folder)) > 1 and _code_in(folder) <= files}
    deps |= {Path(named[stage]) for named in (NETS, DOWNSCALERS) if stage in named}
    return [script.as_posix(), *sorted(dep.as_posix() for dep in deps if deps.isdisjoint(dep.parents))]


def _data_files() -> list[Path]:
    return [path.relative_to(ROOT) for path in (ROOT / "pipeline_src").rglob("*.*") if path.suffix in DATA]


def _reads(module: Path, data: Path) -> bool:
    """Return whether a module of the same folder names a data file; templates and their styles go with any module."""
    return data.suffix != ".csv" or f'"{data.name}"' in (ROOT / module).read_text()


@cache
def _has_code(path: Path) -> bool:
    """Return whether a file is more than the docstring of a package, which no output can depend on."""
    if path.name != "__init__.py":
        return True
    module = ast.parse(path.read_text())
    return len(module.body) > (ast.get_docstring(module) is not None)


@cache
def _code_in(folder: Path) -> set[Path]:
    """Return the data files under a folder, and the modules that have code."""
    paths = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", *DATA)]
    return {path.relative_to(ROOT) for path in paths if _has_code(path)}


def with_code_deps(text: str, graph: grimp.ImportGraph) -> str:
    """Return the text of dvc.yaml with the computed code in the deps of every stage; all else stays as it is."""
    lines: list[str] = []
    stage, in_deps = "", False
    for line in text.splitlines():
        if found := re.match(r"  (\w+):", line):
            stage = found[1]
        if in_deps and line.strip().startswith("- pipeline_src/"):
            continue
        in_deps = line.strip() == "deps:" or (in_deps and line.strip().startswith("- "))
        lines.append(line)
        if line.strip() == "deps:":
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            lines += [f"{indent}- {path}" for path in code_deps(stage, graph)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Check or write dvc.yaml."""
    path = ROOT / "dvc.yaml"
    text, computed = path.read_text(), with_code_deps(path.read_text(), import_graph())
    if sys.argv[1:] == ["--write"]:
        path.write_text(computed)
    elif sys.argv[1:] != ["--check"]:
        print("usage: python workflow/code_deps.py --check|--write", file=sys.stderr)
        return 2
    elif text != computed:
        print("the code in the deps of dvc.yaml is not what its stages import; run workflow/code_deps.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
