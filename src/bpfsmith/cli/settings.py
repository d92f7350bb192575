"""Defaults of options from a file: the nearest bpfsmith.toml, or `[tool.bpfsmith]` of the nearest pyproject.toml that has it.

    mcpu = "v4"              # for every command that has --mcpu
    [verify]
    kernel = "5.10,host"     # for this command

A key is the name of a long option. What stands on the command line wins. Paths are as if typed: from the current directory.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bpfsmith.diagnostic import Diagnostic, InputError, Label
from bpfsmith.source import Span

NAME, PROJECT = "bpfsmith.toml", "pyproject.toml"
_NEVER = frozenset({"help", "watch", "report", "sarif", "output"})
"""Options that say what one run is to do, and are no habit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A file's tables; `path` is the file, and `prefix` what stands before its table names."""

    path: Path
    values: Mapping[str, object]
    prefix: str = ""


def found(start: Path) -> Settings | None:
    """The settings of a directory or the nearest one above it. InputError `bad-config` for what is no TOML."""
    for directory in (start, *start.parents):
        own, project = directory / NAME, directory / PROJECT
        if own.is_file():
            return Settings(own, _read(own))
        if project.is_file() and "tool.bpfsmith" in project.read_text(encoding="utf-8", errors="replace"):
            tool = _read(project).get("tool", {})
            values = tool.get("bpfsmith") if isinstance(tool, dict) else None
            if isinstance(values, dict):
                return Settings(project, values, "tool.bpfsmith.")
    return None


def _read(path: Path) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        line = re.search(r"at line (\d+), column (\d+)", str(error))
        place = Label(Span(str(path), int(line[1]), int(line[2]))) if line else None
        raise InputError(
            Diagnostic("bad-config", f"{path} cannot be read: {error}", place, help="mend the TOML, or remove the file")
        ) from None


def apply(settings: Settings, verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    """Makes the settings the defaults of the commands. InputError `bad-config` for a key or value that fits no option."""
    options = {name: _options(parser) for name, parser in verbs.items()}
    for key, value in settings.values.items():
        if isinstance(value, dict):
            if key not in verbs:
                raise _bad(settings, key, f"there is no command {key}", verbs)
            for name, item in value.items():
                if name not in options[key]:
                    raise _bad(settings, name, f"`{key}` has no option --{name}", options[key])
                _set(settings, verbs[key], options[key][name], name, item)
            continue
        having = [name for name in verbs if key in options[name]]
        if not having:
            known = {option for found in options.values() for option in found}
            raise _bad(settings, key, f"no command has an option --{key}", known)
        for name in having:
            own = settings.values.get(name)
            if not (isinstance(own, dict) and key in own):
                _set(settings, verbs[name], options[name][key], key, value)


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return dict(_long(parser))


def _long(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        for text in action.option_strings:
            if text.startswith("--") and text[2:] not in _NEVER:
                yield text[2:], action


def _set(settings: Settings, parser: argparse.ArgumentParser, action: argparse.Action, name: str, value: object) -> None:
    parser.set_defaults(**{action.dest: _value(settings, action, name, value)})


def _value(settings: Settings, action: argparse.Action, name: str, value: object) -> object:
    """The value as the command line would have made it."""
    if action.nargs == 0:  # a switch
        if not isinstance(value, bool):
            raise _bad(settings, name, f"{name} is a switch: true or false", ())
        return value if isinstance(action.const, bool) else (action.const if value else action.default)
    several = isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*")
    if several != isinstance(value, list):
        raise _bad(settings, name, f"{name} takes {'a list' if several else 'one value'}", ())
    items = [_one(settings, action, name, item) for item in (value if isinstance(value, list) else [value])]
    return items if several else items[0]


def _one(settings: Settings, action: argparse.Action, name: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _bad(settings, name, f"{name} takes a text or a number", ())
    convert = action.type if callable(action.type) else str
    try:
        made: object = convert(str(value))
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        raise _bad(settings, name, f"{value!r} is no value of {name}", ()) from None
    if action.choices is not None and made not in action.choices:
        raise _bad(settings, name, f"{value!r} is no value of {name}", [str(item) for item in action.choices])
    return made


def _bad(settings: Settings, key: str, problem: str, known: Iterable[str]) -> InputError:
    import difflib

    text = settings.path.read_text(encoding="utf-8")
    at = re.search(rf"^[ \t]*\[?(?:{re.escape(settings.prefix)})?\"?{re.escape(key)}\"?\s*[\]=]", text, re.MULTILINE)
    line = text[: at.start(0)].count("\n") + 1 if at else 1
    names = sorted(known)
    close = difflib.get_close_matches(key, names, 3)
    help_text = (
        f"did you mean {' or '.join(close)}?" if close else "keys are the names of long options: `bpfsmith COMMAND --help`"
    )
    if names and not close and len(names) < 12:
        help_text = f"it is one of {', '.join(names)}"
    return InputError(Diagnostic("bad-config", problem, Label(Span(str(settings.path), line)), help=help_text))
