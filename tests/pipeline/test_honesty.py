"""Only what changed runs again, and all of it: true only while each stage's deps and params are all that it reads.

Not counted as deps are the modules that every stage goes through, and that decide how a stage is started, where its
files lie and what is remembered of it, but not what stands in its outputs: if they counted, a word in a help text would
train every system anew. The values in params.yaml are compared by DVC itself.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import grimp
import pytest
from test_dag import ROOT, stages

from pipeline_src import params as settings

EVERY_STAGE_GOES_THROUGH = {f"pipeline_src.{name}" for name in ("command", "errors", "files", "params", "tracking")}
STAGES = {stage.name: stage for stage in stages(ROOT, compare=False)}
MODELS = settings.load(ROOT / "params.yaml").systems

Key = tuple[str, ...]  # of params.yaml; () is the whole file


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipeline_src", exclude_type_checking_imports=True, cache_dir=None)


def file_of(module: str) -> Path:
    path = Path(*module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def imported_by(stage: str, graph: grimp.ImportGraph) -> set[str]:
    """Modules that a stage's script runs, those that Python runs for their packages among them."""
    verb, _, item = stage.partition("@")
    script = f"pipeline_src.stages.{verb}"
    modules = graph.find_upstream_modules(script) | {script}
    if "pipeline_src.models" in modules:  # it imports the net that params.yaml names
        net = f"pipeline_src.models.{MODELS[item].model}"
        modules |= graph.find_upstream_modules(net) | {net}
    if "pipeline_src.downscaling" in modules and verb in ("train", "benchmark"):  # which run it
        downscaler = f"pipeline_src.downscaling.{MODELS[item].downscaler.model}"
        modules |= graph.find_upstream_modules(downscaler) | graph.find_descendants(downscaler) | {downscaler}
    parts = [module.split(".") for module in modules]
    packages = {".".join(names[:depth]) for names in parts for depth in range(1, len(names))}
    return {module for module in modules | packages if (ROOT / file_of(module)).read_text().strip()}


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_imports_is_among_its_deps(name: str, graph: grimp.ImportGraph) -> None:
    needed = {file_of(module).as_posix() for module in imported_by(name, graph) - EVERY_STAGE_GOES_THROUGH}
    assert f"pipeline_src/stages/{name.partition('@')[0]}.py" in needed
    assert sorted(needed - set(STAGES[name].inputs)) == []


@pytest.mark.parametrize("name", STAGES)
def test_the_data_files_a_stage_reads_are_among_its_deps(name: str, graph: grimp.ImportGraph) -> None:
    modules = [file_of(module) for module in imported_by(name, graph)]
    shipped = [
        p.relative_to(ROOT)
        for p in (ROOT / "pipeline_src").rglob("*.*")
        if p.suffix in {".csv", ".html", ".css", ".js"}
    ]
    read = {
        file.as_posix()
        for file in shipped
        for module in modules
        if module.parent == file.parent and f'"{file.name}"' in (ROOT / module).read_text()
    }
    assert sorted(read - set(STAGES[name].inputs)) == []


@pytest.mark.parametrize("name", STAGES)
def test_the_params_a_stage_reads_are_among_its_params(name: str) -> None:
    verb, _, item = name.partition("@")
    read = {".".join(key) for key in reads((ROOT / "pipeline_src" / "stages" / f"{verb}.py").read_text(), item)}
    everything = set(settings.Params.model_fields)
    read = everything | read if "" in read else read
    declared = STAGES[name].params
    assert sorted(r for r in read - {""} if not any(f"{r}.".startswith(f"{d}.") for d in declared)) == []


def test_only_stages_read_params(graph: grimp.ImportGraph) -> None:
    """What the library needs of params.yaml it is given, so that the stage's script shows all that is read."""
    for module in set().union(*(imported_by(name, graph) for name in STAGES)) - EVERY_STAGE_GOES_THROUGH:
        if not module.startswith("pipeline_src.stages"):
            assert not list(reads((ROOT / file_of(module)).read_text(), "")), module


def reads(source: str, item: str) -> Iterator[Key]:
    """The keys of params.yaml that a script reads after ``settings.load()``, followed through names it gives them.

    A value that is handed on as a whole is read as a whole. What is only compared or said in an error is not read.
    """
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            yield from _reads_of(function, item)


def _reads_of(function: ast.FunctionDef, item: str) -> Iterator[Key]:
    arguments = {argument.arg for argument in function.args.args}
    named: dict[str, Key] = {}

    def key_of(node: ast.AST) -> Key | None:
        match node:
            case ast.Name(id=name):
                return named.get(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="settings"), attr="load")):
                return ()
            case ast.Call(func=ast.Attribute(value=value, attr="system")) if key_of(value) == ():
                return ("systems", item)
            case ast.Subscript(value=value, slice=ast.Name(id=name)) if name in arguments and key_of(value):
                return (*(key_of(value) or ()), item)
            case ast.Attribute(value=value, attr=attr) if (key := key_of(value)) is not None and attr in fields(key):
                return (*key, attr)
        return None

    def visit(node: ast.AST) -> Iterator[Key]:
        match node:
            case ast.Assign(targets=[target], value=value):
                yield from assign(target, value)
            case ast.Raise() | ast.Compare(ops=[ast.In() | ast.NotIn()]):
                return
            case ast.Attribute(value=ast.Name(id="settings"), attr="PARAMS"):
                yield ()
            case ast.Attribute(value=value, attr="sets_for") if key_of(value) == ():
                yield ("sets",)
            case _ if (key := key_of(node)) is not None:
                yield key
            case _:
                for child in ast.iter_child_nodes(node):
                    yield from visit(child)

    def assign(target: ast.AST, value: ast.AST) -> Iterator[Key]:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for one, its in pairs:
            key = key_of(its)
            if key is not None and isinstance(one, ast.Name):
                named[one.id] = key
            else:
                yield from visit(its)

    for statement in function.body:
        yield from visit(statement)


def fields(key: Key) -> set[str]:
    """The named parts of a key of params.yaml; none for a plain value, or for what is looked up by a name in it."""
    section: object = settings.Params
    for name in key:
        if get_origin(section) is dict:
            section = get_args(section)[1]
        else:
            section = section.model_fields[name].annotation if hasattr(section, "model_fields") else None
    return set(getattr(section, "model_fields", ()))


def test_reads_follows_names_and_parts() -> None:
    script = """
def train(system):
    params = settings.load()
    spec, threads = params.system(system), params.threads
    recipe = spec.train
    if system not in params.systems:
        raise UserError(f"{settings.PARAMS} has {params.report}")
    fit(recipe.steps, spec.net, threads, params.sets_for("training"), **params.quantize.model_dump())
    one = params.sets[system]
    use(one.role)
"""
    assert set(reads(script, "abpn_x3")) == {
        ("systems", "abpn_x3", "train", "steps"),
        ("systems", "abpn_x3", "net"),
        ("threads",),
        ("sets",),
        ("quantize",),
        ("sets", "abpn_x3", "role"),
    }
    assert list(reads("def f():\n    log(settings.load().model_dump())", "")) == [()]
    assert list(reads("def f():\n    settings.PARAMS.read_text()", "")) == [()]
