"""Only what changed runs again, and all of it: true only while each stage's deps and params are all that it reads.

Not counted as deps are the modules that every stage goes through, and that decide how a stage is started, where its
files lie and what is remembered of it, but not what stands in its outputs: if they counted, a word in a help text would
retrain every system. The values in params.yaml are compared by DVC itself.
"""

import ast
from collections.abc import Iterator
from typing import get_args, get_origin

import code_deps
import grimp
import pytest
from test_dag import ROOT, stages

from pipeline_src import config

STAGES = {stage.name: stage for stage in stages(ROOT, compare=False)}
SYSTEMS = config.load(ROOT / "params.yaml").systems

Key = tuple[str, ...]  # of params.yaml; () is the whole file


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return code_deps.import_graph()


def test_the_code_in_dvc_yaml_is_what_the_stages_import(graph: grimp.ImportGraph) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert code_deps.with_code_deps(text, graph) == text


def imported_by(stage: str, graph: grimp.ImportGraph) -> set[str]:
    """Modules that a stage's script runs, the net and the downscaler that params.yaml names among them."""
    verb, _, item = stage.partition("@")
    modules = code_deps.modules_of(verb, graph)
    system = SYSTEMS.get(item)
    if system and verb in code_deps.NETS:
        net = f"pipeline_src.models.{system.model}"
        modules |= graph.find_descendants(net) | {net}
    if system and verb in code_deps.DOWNSCALERS:
        downscaler = f"pipeline_src.downscaling.{system.downscaler.model}"
        modules |= graph.find_descendants(downscaler) | {downscaler}
    return modules


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_imports_is_among_its_deps(name: str, graph: grimp.ImportGraph) -> None:
    needed = {code_deps.file_of(module).as_posix() for module in imported_by(name, graph)}
    assert f"pipeline_src/stages/{name.partition('@')[0]}.py" in needed
    assert sorted(needed - set(STAGES[name].inputs)) == []


def test_a_net_reads_no_code_that_its_stages_do_not_declare(graph: grimp.ImportGraph) -> None:
    nets = code_deps.nets(graph)
    shared = {
        "pipeline_src.models",
        *graph.find_descendants("pipeline_src.models.layers"),
        "pipeline_src.models.layers",
    }
    for package in nets:
        upstream = {
            m for inside in graph.find_descendants(package) | {package} for m in graph.find_upstream_modules(inside)
        }
        assert {m for m in upstream if not m.startswith(package)} <= shared


@pytest.mark.parametrize("name", STAGES)
def test_the_params_a_stage_reads_are_among_its_params(name: str) -> None:
    verb, _, item = name.partition("@")
    read = {".".join(key) for key in reads((ROOT / "pipeline_src" / "stages" / f"{verb}.py").read_text(), item)}
    everything = set(config.Params.model_fields)
    read = everything | read if "" in read else read
    declared = STAGES[name].params
    if verb in {"quantize", "export"}:  # they compare the names of params.yaml with what lies there
        assert f"results/nets/{item}/weights.safetensors" in STAGES[name].inputs
    assert sorted(r for r in read - {""} if not any(f"{r}.".startswith(f"{d}.") for d in declared)) == []


def test_only_stages_read_params(graph: grimp.ImportGraph) -> None:
    """What the library needs of params.yaml it is given, so that the stage's script shows all that is read."""
    for module in set().union(*(imported_by(name, graph) for name in STAGES)):
        if not module.startswith("pipeline_src.stages"):
            assert not list(reads((ROOT / code_deps.file_of(module)).read_text(), "")), module


def reads(source: str, item: str) -> Iterator[Key]:
    """The keys of params.yaml that a script reads after ``config.load()``, followed through names it gives them.

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
            case ast.Call(func=ast.Attribute(value=ast.Name(id="config"), attr="load")):
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
            case ast.Attribute(value=ast.Name(id="paths"), attr="PARAMS"):
                yield ()
            case ast.Attribute(value=value, attr="sets_for") if key_of(value) == ():
                yield ("sets",)
            case ast.Call(func=ast.Attribute(value=value, attr="nets_of")) if key_of(value) == ():
                return  # names of what `prune` and `search` make, in `results/nets`, which is a dep of its readers
            case ast.Call(func=ast.Attribute(value=value, attr="device")) if key_of(value) == ():
                return  # how a device is reached; its name is in the section of the stage
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
    section: object = config.Params
    for name in key:
        if get_origin(section) is dict:
            section = get_args(section)[1]
        else:
            section = section.model_fields[name].annotation if hasattr(section, "model_fields") else None
    return set(getattr(section, "model_fields", ()))


def test_reads_follows_names_and_parts() -> None:
    script = """
def train(system):
    params = config.load()
    spec, threads = params.system(system), params.threads
    recipe = spec.train
    if system not in params.systems:
        raise UserError(f"{paths.PARAMS} has {params.report}")
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
    assert list(reads("def f():\n    log(config.load().model_dump())", "")) == [()]
    assert list(reads("def f():\n    paths.PARAMS.read_text()", "")) == [()]
