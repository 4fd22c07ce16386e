"""Write the reference of every key of params.yaml, and the JSON schema with which editors check the file.

python -m pipeline_src.config.reference            # writes both to docs/reference
python -m pipeline_src.config.reference --check    # fails if they do not agree with the schema
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_src.config.params import Params
from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

FOLDER = Path("docs") / "reference"
COMMAND = "python -m pipeline_src.config.reference"
Schema = dict[str, Any]  # a JSON schema, or a part of one

# Sections that stand in several places, and have a table of their own.
SHARED = {"Recipe": "recipe", "PinnedFile": "pinned-file"}
EXTENDED = {"Training": "Recipe", "Qat": "Recipe"}  # sections that have all keys of a shared one, and more
HEAD = f"""# Keys of params.yaml

Every key of `params.yaml`, by section. `<name>` is a name of yours, of letters, digits, `_` and `-`;
`[]` is each item of a list. A key without a default must be given. An unknown key is an error.

This page is written by `{COMMAND}` from the schema in `pipeline_src/config`.
"""
TABLE = "| key | type | default | range | description |\n|---|---|---|---|---|\n"


def json_schema() -> Schema:
    """Return the JSON schema of ``params.yaml``; names that the pattern of names excludes are refused."""

    def cleaned(part: Any) -> Any:
        if isinstance(part, list):
            return [cleaned(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "patternProperties" in part:
            part = part | {"additionalProperties": False}
        titled = isinstance(part.get("title"), str)
        return {key: cleaned(value) for key, value in part.items() if key != "title" or not titled}

    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "params.yaml"}
    return head | dict(cleaned(Params.model_json_schema()))


def page() -> str:
    """Return the reference page, in Markdown."""
    schema = json_schema()
    sections = schema["$defs"]
    text = HEAD
    plain = {key: part for key, part in schema["properties"].items() if not _sections_in(part)}
    text += f"\n## Plain values\n\n{TABLE}" + "".join(row for key in plain for row in _rows(key, plain[key], sections))
    for key, part in schema["properties"].items():
        if key not in plain:
            text += f"\n## {key}\n\n{TABLE}" + "".join(_rows(key, part, sections))
    for name in SHARED:
        section = sections[name]
        rows = (row for key, part in section["properties"].items() for row in _rows(key, part, sections))
        text += f"\n## {_title(name)}\n\n{_prose(section['description'])}\n\n{TABLE}{''.join(rows)}"
    return text


def files() -> dict[Path, str]:
    """Return the text of each generated file."""
    return {
        FOLDER / "params.md": page(),
        FOLDER / "params.schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
    }


def _rows(key: str, part: Schema, sections: Schema) -> Iterator[str]:
    """Yield the row of a key, and those of the keys below it."""
    below = _sections_in(part)
    if not below:
        yield _row(key, _type(part), part)
        return
    name, suffix = below
    shared = name if name in SHARED else EXTENDED.get(name, "")
    kind = {"": "section", ".<name>": "sections by name", "[]": "list of sections"}[suffix]
    if suffix == ".<name>" and "propertyNames" in part:
        kind += f": {_values(part['propertyNames'])}"
    yield _row(key, f"[{_title(shared).lower()}](#{SHARED[shared]})" if shared in SHARED else kind, part)
    if name in SHARED:
        return
    known = sections[shared]["properties"] if shared else {}
    for child, value in sections[name]["properties"].items():
        if child not in known:
            yield from _rows(f"{key}{suffix}.{child}", value, sections)


def _title(shared: str) -> str:
    return SHARED[shared].replace("-", " ").capitalize()


def _row(key: str, kind: str, part: Schema) -> str:
    default = part.get("default", ...)
    shown = "" if default is ... else "none" if default is None else f"`{json.dumps(default)}`".replace('"', "")
    return f"| `{key}` | {kind} | {shown} | {_range(part)} | {_prose(part.get('description', ''))} |\n"


def _sections_in(part: Schema) -> tuple[str, str] | None:
    """Return the name of the section that a key holds, and how it holds it; None for a plain value."""
    choices = [choice for choice in part.get("anyOf", [part]) if choice.get("type") != "null"]
    inner = choices[0]
    holders = [
        ("", inner),
        ("[]", inner.get("items", {})),
        (".<name>", next(iter(inner.get("patternProperties", {}).values()), inner.get("additionalProperties", {}))),
    ]
    for suffix, value in holders:
        if isinstance(value, dict) and "$ref" in value:
            return value["$ref"].rpartition("/")[2], suffix
    return None


def _type(part: Schema) -> str:
    if "anyOf" in part:
        return " or ".join(_type(choice) for choice in part["anyOf"] if choice.get("type") != "null")
    if "enum" in part or "const" in part:
        return _values(part)
    if part.get("type") == "array":
        inner = _type(part["items"])
        return f"list of {inner}" + ("s" if inner in ("integer", "number") else "")
    names = {"string": "text", "boolean": "true or false", "object": "mapping"}
    return names.get(part["type"], str(part["type"]))


def _values(part: Schema) -> str:
    return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))


def _range(part: Schema) -> str:
    """Return the limits of a value, or of the items of a list, in words."""
    if "anyOf" in part:
        return ", or ".join(filter(None, (_range(choice) for choice in part["anyOf"])))
    signs = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
    limits = [sign.format(part[key]) for key, sign in signs.items() if key in part]
    if "multipleOf" in part:
        limits.append(f"a multiple of {part['multipleOf']}")
    if "minItems" in part:
        fixed = part["minItems"] == part.get("maxItems")
        limits.append(f"{part['minItems']} items" if fixed else f"{part['minItems']} or more items")
    if "minProperties" in part:
        limits.append(f"{part['minProperties']} or more")
    if "pattern" in part:
        limits.append(f"`{part['pattern']}`")
    if inner := "items" in part and _range(part["items"]):
        limits.append(f"each {inner}")
    return ", ".join(limits)


def _prose(text: str) -> str:
    """Return a description as Markdown on one line, safe in a table."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def write() -> None:
    """Write the reference page and the JSON schema."""
    for path, text in files().items():
        with whole_file(path) as aside:
            aside.write_text(text)


def check() -> None:
    """Compare the files in docs/reference with the schema; UserError if one is missing or not current."""
    for path, text in files().items():
        if not path.is_file() or path.read_text() != text:
            raise UserError(f"{path} is not that of the schema in pipeline_src/config; run `{COMMAND}`")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the files instead of writing them")
    try:
        if parser.parse_args().check:
            check()
        else:
            write()
    except UserError as error:
        sys.exit(f"error: {error}")
