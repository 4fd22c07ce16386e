"""Reading of ``params.yaml``, with each mistake told in one sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline_src.config.merging import load_yaml
from pipeline_src.config.params import Params
from pipeline_src.config.training import Recipe
from pipeline_src.errors import UserError
from pipeline_src.paths import PARAMS

LONGEST = 600  # letters of a message; what it leaves out is in the middle


def load(path: Path = PARAMS) -> Params:
    """Read and validate ``params.yaml``.

    Raises:
        UserError: If there is no such file, if it is not YAML, or naming its first wrong key.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is not in {Path.cwd()}; run the command from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def parse(text: str, source: str) -> Params:
    """Validate the text of a ``params.yaml``; UserError, which names its ``source``, if it is not valid."""
    try:
        return Params.model_validate(load_yaml(text, source))
    except ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from None


def recipe(values: dict[str, Any], where: str) -> Recipe:
    """Return the recipe of these values; UserError, which says ``where`` they come from, if they are not valid."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{PARAMS}: {where}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    """Return the first problem that pydantic found, in a line that a terminal can show."""
    text = _problem(error.errors()[0])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 100]} … {text[-97:]}"


def _problem(problem: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    if problem["type"] == "extra_forbidden":
        return f"{key} is an unknown key; correct its spelling or remove it"
    if problem["type"] == "missing":
        return f"{key} is missing; add it"
    message = f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    return message if isinstance(problem["input"], dict) else f"{message}, not {problem['input']!r}"
