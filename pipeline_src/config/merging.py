"""Merging of YAML texts: presets into ``params.yaml``, and the user's edits into the result."""

import copy
import functools
import io
import logging
import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from pipeline_src.errors import UserError

Presets = Mapping[str, str]  # texts by name, in the order in which they are layered
Keys = tuple[str, ...]  # of a value in params.yaml, from the top
ABSENT = object()  # in the place of a value: there is none
ALIAS = re.compile(r"<<:|[\s\[{,]\*\w")  # a value that stands elsewhere in the file too
log = logging.getLogger(__name__)


def composed(base: str, before: Presets, after: Presets, current: str, path: Path) -> str:
    """Return the text of base + presets ``after`` + the user's edits.

    Lines that the user changed are taken over as they are, comments with them, where they are not the presets' too;
    every value is then compared with what it must be, and corrected.

    Args:
        base: Text of ``params.yaml`` without presets.
        before: Texts of the presets that are layered over ``current``, by name.
        after: Texts of the presets that are to be layered instead.
        current: Text of ``params.yaml``: base + presets ``before`` + the user's edits.
        path: ``params.yaml``, as errors name it.

    Raises:
        UserError: If a text is not YAML, or if an edit is of a part that would be gone.
    """
    old_text, new_text = (_with_presets(base, presets, path) for presets in (before, after))
    old, new, edited = (load_yaml(text, path) for text in (old_text, new_text, current))
    edits = _differences(old, edited)
    for keys, value in edits.items():
        if _value(old, keys) != _value(new, keys) != value:
            log.warning("%s keeps the value that you gave it in %s", ".".join(keys), path)
    _apply(new, edits, path)
    text = _merge_lines(old_text, current, new_text)
    if not isinstance(_load_or_none(text), dict):
        text = new_text
    if wrong := _differences(load_yaml(text, path), new):
        document = _load_document(text, path)
        _apply(document, wrong, path)
        text = _in_style_of(text, document, path)
    return text


def _with_presets(base: str, presets: Presets, path: Path) -> str:
    if not presets:
        return base
    document = _load_document(base, path)
    for name, text in presets.items():
        _merge(document, _load_document(text, name))
    return _in_style_of(base, document, path)


def _in_style_of(text: str, document: Any, path: Path) -> str:
    """Return ``document``, an edited version of ``text``, as YAML in which the other lines are those of ``text``."""
    edited = _dump(document)
    merged = _merge_lines(_rewritten(text, path), edited, text)
    return merged if _load_or_none(merged) == load_yaml(edited, path) else edited


@functools.lru_cache(maxsize=2)
def _rewritten(text: str, path: Path) -> str:
    """Return ``text`` as :func:`_dump` writes it, unedited."""
    return _dump(_load_document(text, path))


def _merge(old: Any, new: Any) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
            if not old[key]:
                _clear(old, key)
        elif value is None:
            old.pop(key, None)
        else:
            old[key] = copy.deepcopy(value)


def _clear(mapping: Any, key: str) -> None:
    """Put an empty mapping in the place of a value, without its comments, which have no place in ``{}``."""
    position = list(mapping).index(key)
    del mapping[key]
    if hasattr(mapping, "insert"):  # a plain dict has no comments, and no order that matters
        mapping.insert(position, key, {})
    else:
        mapping[key] = {}


def _differences(old: Any, new: Any, keys: Keys = ()) -> dict[Keys, Any]:
    """Return the values that make ``new`` of ``old``, by their keys; ABSENT where ``new`` has none."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return {} if old == new and type(old) is type(new) else {keys: new}
    changed: dict[Keys, Any] = {(*keys, key): ABSENT for key in old if key not in new}
    for key, value in new.items():
        changed |= _differences(old[key], value, (*keys, key)) if key in old else {(*keys, key): value}
    return changed


def _apply(data: Any, edits: dict[Keys, Any], path: Path) -> None:
    for keys, value in edits.items():
        mapping = _value(data, keys[:-1])
        if isinstance(mapping, dict):
            if value is ABSENT:
                mapping.pop(keys[-1], None)
            else:
                mapping[keys[-1]] = copy.deepcopy(value)
        elif value is not ABSENT:
            edited, parent = ".".join(keys), ".".join(keys[:-1])
            raise UserError(
                f"{path}: you have edited {edited}, but with the presets as they would be there is no {parent}; "
                "undo that edit first"
            )


def _value(data: Any, keys: Keys) -> Any:
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return ABSENT
        data = data[key]
    return data


def _merge_lines(old: str, edited: str, new: str) -> str:
    """Return ``new`` with those changes from ``old`` to ``edited`` whose lines are also in ``new``."""
    old_lines, edited_lines, lines = (text.splitlines(keepends=True) for text in (old, edited, new))
    common = SequenceMatcher(None, old_lines, lines, autojunk=False).get_matching_blocks()
    changes = SequenceMatcher(None, old_lines, edited_lines, autojunk=False).get_opcodes()
    for kind, begin, end, edited_begin, edited_end in reversed(changes):
        for block in common:
            if kind != "equal" and block.a <= begin and end <= block.a + block.size and block.size:
                shift = block.b - block.a
                lines[begin + shift : end + shift] = edited_lines[edited_begin:edited_end]
                break
    return "".join(lines)


def load_yaml(text: str, source: Path | str) -> Any:
    """Parse YAML into plain dicts, lists and values, none of which is shared.

    Raises:
        UserError: If it is not valid; the sentence names the ``source``.
    """
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import YAMLError

    try:
        return _unshared(_parsed(text))
    except DuplicateKeyError as error:
        problem, line = error.problem.removeprefix("found "), error.problem_mark.line + 1
        raise UserError(f"{source} is not valid YAML: {problem} in line {line}; take one of the two out") from None
    except YAMLError as error:
        raise UserError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """Parse YAML once, however often the same text is read: a change of presets reads each of its texts many times."""
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


def _unshared(value: Any) -> Any:
    """Return a copy in which no mapping or list stands in two places, as behind an anchor."""
    if isinstance(value, dict):
        return {key: _unshared(part) for key, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value


def _load_or_none(text: str) -> Any:
    try:
        return load_yaml(text, "")
    except UserError:
        return None


def _load_document(text: str, source: Path | str) -> Any:
    """Parse YAML with its comments and quotes, which :func:`_dump` writes again; without them if it has aliases."""
    plain = load_yaml(text, source)
    return plain if ALIAS.search(text) else _editor().load(text)


def _dump(document: Any) -> str:
    stream = io.StringIO()
    _editor().dump(document, stream)
    return stream.getvalue()


def _editor() -> Any:
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 1000  # no line is broken
    editor.preserve_quotes = True
    return editor
