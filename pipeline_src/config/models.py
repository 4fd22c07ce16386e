"""Arguments that a net or a downscaler can be given in ``params.yaml``, read from the source of its ``build``."""

import ast
import functools
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
MODELS = PACKAGE / "models"
DOWNSCALERS = PACKAGE / "downscaling"
LAYERS = "layers"  # what the nets share
LARGEST = 4096  # channels, layers or groups; any net with more would not fit into memory


def model_arguments(model: str) -> dict[str, str]:
    """Return the arguments of a model's ``build``, without ``scales``.

    They are read from the source, because importing torch to check a settings file would cost every command a second.

    Args:
        model: A package of ``pipeline_src/models``.

    Returns:
        Argument names and the types they are annotated with, "" where that is more than a name.

    Raises:
        ValueError: If there is no such model.
    """
    arguments = _build_arguments(MODELS, model)
    if arguments is None:
        raise ValueError(f"pipeline_src/models/{model}/__init__.py has no function build, so it is not a model")
    return arguments


def downscaler_arguments(model: str) -> dict[str, str]:
    """Return the arguments of the ``build`` of a package of ``pipeline_src/downscaling``, as :func:`model_arguments`.

    A downscaler without ``build`` learns nothing and takes no arguments.
    """
    return _build_arguments(DOWNSCALERS, model) or {}


def check_arguments(net: dict[str, Any], known: dict[str, str], owner: str) -> None:
    """Compare the values of a key ``net`` with the arguments that a ``build`` takes.

    Args:
        net: Argument names and values, as ``params.yaml`` has them.
        known: Argument names and types, as :func:`model_arguments` returns them.
        owner: The net or downscaler, as the error names it.

    Raises:
        ValueError: If an argument is unknown, of another type, or an integer below 1 or over :data:`LARGEST`.
    """
    for key, value in net.items():
        if key not in known:
            raise ValueError(f"net.{key} is unknown; {owner} takes {', '.join(known) or 'no arguments'}")
        if known[key] == "float" and type(value) is int:
            continue
        if known[key] and type(value).__name__ != known[key]:
            raise ValueError(f"net.{key} is {value!r}, but {owner} takes {known[key]}")
        if known[key] == "int" and not 1 <= value <= LARGEST:
            raise ValueError(f"net.{key} is {value}, but must be 1 to {LARGEST}")


def _build_arguments(folder: Path, model: str) -> dict[str, str] | None:
    source = folder / model / "__init__.py"
    if model == LAYERS or not model.isidentifier() or not source.is_file():
        known = sorted({path.parent.name for path in folder.glob("[a-z]*/__init__.py")} - {LAYERS})
        raise ValueError(f"there is no model {model!r} in pipeline_src/{folder.name}; there are {', '.join(known)}")
    return _arguments_in(source.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=64)
def _arguments_in(source: str) -> dict[str, str] | None:
    """Read the arguments of each model once, however many systems are of it; the result is not to be changed."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg != "scales"]
            return {a.arg: ast.unparse(a.annotation) if isinstance(a.annotation, ast.Name) else "" for a in arguments}
    return None
