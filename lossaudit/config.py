"""Settings: ``[tool.lossaudit]`` of a ``pyproject.toml``, or a ``lossaudit.toml``. The nearest file above the paths wins.

Unknown keys are errors, because a misspelt key that is silently dropped is a check that silently does not run.
"""

from __future__ import annotations

import difflib
import keyword
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lossaudit.rulebook import closest_rules, load_rules

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")


class ConfigError(Exception):
    """The configuration cannot be used. The message says which file, which key, and what is expected."""


class FuzzTarget(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[tool.lossaudit.fuzz."module:Attr"]``: how one target is built, called and judged.

    ``init`` and ``call`` are keyword arguments; ``reference`` is ``NAME[:k=v,...]`` or ``module:function``.
    """

    init: dict[str, Any] = {}
    call: dict[str, Any] = {}
    reference: str | None = None
    max_examples: int | None = None
    max_time: float | None = None


LOSS_INPUTS = ("logits", "probabilities", "log-probabilities", "binary-logits", "binary-probabilities")
MODEL_OUTPUTS = ("logits", "softmax", "log-softmax", "sigmoid", "log-sigmoid")
CONTRACT_KEYS = ("input", "yields", "prediction")
MAX_PLACE = 100
"""A loss with more arguments than this is a slip of the keyboard."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[tool.lossaudit]``. ``select`` of None means every rule that is on by default.

    ``contracts`` holds, by dotted name, what a loss expects as its ``input`` (and which argument is the ``prediction``), or what
    a model or a function ``yields``.
    """

    extend: str | None = None
    select: list[str] | None = None
    extend_select: list[str] = []
    ignore: list[str] = []
    per_file_ignores: dict[str, list[str]] = {}
    exclude: list[str] | None = None
    extend_exclude: list[str] = []
    respect_gitignore: bool = True
    src: list[str] = []
    baseline: str | None = None
    contracts: dict[str, dict[str, Any]] = {}
    fuzz: dict[str, FuzzTarget] = {}


class Configuration(msgspec.Struct, frozen=True):
    """The settings and the folder to which their paths and patterns are relative."""

    settings: Settings
    base: Path
    source: Path | None


def find_configuration(paths: Sequence[Path]) -> Configuration:
    """The configuration that applies to ``paths``: the nearest one above all of them.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or holds an unknown key or a value of the wrong type.
    """
    absolute = [str(path.absolute()) for path in paths] or [str(Path.cwd())]
    start = Path(os.path.commonpath(absolute))
    for folder in [start, *start.parents]:
        for name in ("lossaudit.toml", "pyproject.toml"):
            candidate = folder / name
            if candidate.is_file():
                settings = _read(candidate)
                if settings is not None:
                    return Configuration(settings, folder, candidate)
    return isolated()


def read_configuration(path: Path) -> Configuration:
    """The configuration in the file that ``--config`` names.

    Raises:
        ConfigError: As for :func:`find_configuration`, or the file has no lossaudit table.
    """
    settings = _read(path)
    if settings is None:
        raise ConfigError(f"{path}: there is no [tool.lossaudit] table in this file")
    return Configuration(settings, path.absolute().parent, path)


def isolated() -> Configuration:
    """The defaults, read from no file."""
    return Configuration(Settings(), Path.cwd(), None)


def select_codes(
    select: Sequence[str] | None, extend_select: Sequence[str], ignore: Sequence[str]
) -> frozenset[str]:
    """The codes to run.

    A selector is a code (``LA101``), the beginning of one (``LA1``), a rule's name, or ``ALL``. The longer, more
    exact selector is not stronger: ``ignore`` always wins over ``select``, and ``extend_select`` over the defaults.

    Raises:
        ConfigError: A selector that fits no rule; the message names the closest ones.
    """
    if select is None:
        chosen = {rule.code for rule in load_rules().values() if rule.enabled_by_default}
    else:
        chosen = {code for selector in select for code in expand_selector(selector)}
    chosen |= {code for selector in extend_select for code in expand_selector(selector)}
    chosen -= {code for selector in ignore for code in expand_selector(selector)}
    return frozenset(chosen)


def expand_selector(selector: str) -> list[str]:
    """The codes for which one selector stands.

    Raises:
        ConfigError: No rule fits.
    """
    rules = load_rules()
    wanted = selector.strip()
    if wanted.upper() == "ALL":
        return list(rules)
    codes = [code for code in rules if wanted and code.startswith(wanted.upper())]
    codes = codes or [rule.code for rule in rules.values() if rule.name == wanted.lower()]
    if not codes:
        raise ConfigError(f"unknown rule selector {selector!r}{_hint(closest_rules(wanted))}")
    return codes


def _read(path: Path) -> Settings | None:
    """The settings in ``path``, with those that it extends; None for a ``pyproject.toml`` that says nothing of lossaudit."""
    table = _table(path, ())
    return None if table is None else msgspec.convert(table, Settings)


def _table(path: Path, extending: tuple[str, ...]) -> dict[str, Any] | None:
    """The keys that are set in ``path`` and in what it extends; its own win, each as a whole."""
    table = _own_table(path)
    if table is None or "extend" not in table:
        return table
    if "\0" in table["extend"]:
        raise ConfigError(f"{path}: `extend` holds a null byte")
    source = path.parent / os.path.expanduser(table["extend"])  # noqa: PTH111 (pathlib's raises for an unknown user)
    seen = (*extending, os.path.realpath(path))
    if os.path.realpath(source) in seen:
        raise ConfigError(f"{path}: `extend` leads back to {source}")
    inherited = _table(source, seen)
    if inherited is None:
        raise ConfigError(f"{path}: `extend` leads to {source}, which has no [tool.lossaudit] table")
    folder = source.absolute().parent
    if "src" in inherited:
        inherited["src"] = [str(folder / one) for one in inherited["src"]]
    if "baseline" in inherited:
        inherited["baseline"] = str(folder / inherited["baseline"])
    return {**inherited, **table}


def _own_table(path: Path) -> dict[str, Any] | None:
    """What ``path`` itself sets, proved to be of the right kind."""
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    own_file = path.name == "lossaudit.toml"
    table = document if own_file else _tool_table(document)
    prefix = "" if own_file else "tool.lossaudit"
    if table is None:
        return None
    try:
        settings = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error, prefix)}") from error
    for name, entry in settings.contracts.items():
        reason = _broken_contract(name, entry)
        if reason is not None:
            raise ConfigError(f'{path}: [{prefix}{"." if prefix else ""}contracts] "{name}": {reason}')
    return dict(table)


_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def _broken_contract(name: str, entry: dict[str, Any]) -> str | None:
    """What is wrong with one declared contract; None if nothing is."""
    if not _DOTTED.fullmatch(name):
        return "not a dotted name; write it as it is imported, as in `mylib.losses.FocalLoss`"
    unknown = next((key for key in entry if key not in CONTRACT_KEYS), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown, CONTRACT_KEYS, n=2)
        return f"unknown key `{unknown}`{_hint(close, CONTRACT_KEYS)}"
    if ("input" in entry) == ("yields" in entry):
        return "say either `input`, what a loss expects, or `yields`, what a model or a function returns"
    for key, allowed in (("input", LOSS_INPUTS), ("yields", MODEL_OUTPUTS)):
        if key in entry and entry[key] not in allowed:
            return f"`{key}` is {entry[key]!r}; allowed are {', '.join(allowed)}"
    if "prediction" in entry and not ("input" in entry and _is_argument(entry["prediction"])):
        return f"`prediction` is {entry['prediction']!r}; it is the place of a loss's argument, from 0, or its keyword"
    return None


def _is_argument(given: object) -> bool:
    if isinstance(given, str):
        return given.isidentifier() and not keyword.iskeyword(given) and not given.startswith("_")
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given < MAX_PLACE


def _tool_table(document: dict[str, Any]) -> Any:
    tool = document.get("tool", {})
    return tool.get("lossaudit") if isinstance(tool, dict) else None


def _explain(error: msgspec.ValidationError, prefix: str) -> str:
    message = str(error)
    unknown = _UNKNOWN_FIELD.fullmatch(message)
    if unknown is None:
        return message.replace("`$.", f"`{prefix}." if prefix else "`").replace("`$`", f"`{prefix}`")
    table = FuzzTarget if (unknown["path"] or "").startswith(".fuzz") else Settings
    known = table.__struct_encode_fields__
    close = difflib.get_close_matches(unknown["key"], known, n=2)
    where = prefix + (unknown["path"] or "")
    return f"unknown key `{unknown['key']}` in [{where}]{_hint(close, known)}"


def _hint(close: Sequence[str], known: Sequence[str] = ()) -> str:
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known keys: {', '.join(known)}" if known else "; `lossaudit rules` lists them all"
