"""The rulebook: one Markdown page per code, read from ``rules/``.

A page is the only place where a rule's code, name, severity and documentation are written. The pages lie at the
top of the repository and travel inside the wheel as ``lossaudit/_rules``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from lossaudit.findings import Severity

FRONT_MATTER_FENCE = "---"
FixKind = Literal["safe", "unsafe", "none"]

_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RulebookError(Exception):
    """A rule page is missing or malformed: a defect of the installation, never of the user's code."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a page declares about its rule.

    ``fix`` says which automatic fix ``check --fix`` offers; ``since`` is the first release that knew the code.
    """

    code: str
    name: str
    severity: Severity
    fix: FixKind
    since: str
    frameworks: tuple[str, ...]
    summary: str
    text: str
    path: Path

    @property
    def enabled_by_default(self) -> bool:
        """Rules of severity ``info`` advise only: they run when they are selected by name or code."""
        return self.severity is not Severity.INFO

    @property
    def url(self) -> str:
        """Where the page can be read online."""
        return f"https://lossaudit.readthedocs.io/rules/{self.path.stem}"


def rules_directory() -> Path:
    """The folder of the pages: inside the installed package, else at the top of the checkout."""
    package = Path(__file__).parent
    installed = package / "_rules"
    return installed if installed.is_dir() else package.parent / "rules"


@cache
def load_rules() -> dict[str, Rule]:
    """All rules by code, in the order of their codes.

    Raises:
        RulebookError: The folder holds no page, or a page is malformed.
    """
    rules = [read_page(path) for path in sorted(rules_directory().glob("*-*.md"))]
    if not rules:
        raise RulebookError(f"no rule pages in {rules_directory()}; reinstall lossaudit")
    return {rule.code: rule for rule in rules}


def find_rule(code_or_name: str) -> Rule | None:
    """The rule with this code or this kebab-case name, in any letter case."""
    wanted = code_or_name.strip()
    rules = load_rules()
    by_code = rules.get(wanted.upper())
    if by_code is not None:
        return by_code
    return next((rule for rule in rules.values() if rule.name == wanted.lower()), None)


def closest_rules(code_or_name: str) -> list[str]:
    """Codes and names that look like ``code_or_name``, best first, for an error message."""
    rules = load_rules()
    names = {rule.name: f"{rule.code} ({rule.name})" for rule in rules.values()}
    names |= {rule.code: f"{rule.code} ({rule.name})" for rule in rules.values()}
    close = difflib.get_close_matches(code_or_name, names, n=3, cutoff=0.5)
    close += difflib.get_close_matches(code_or_name.upper(), names, n=3, cutoff=0.7)
    return list(dict.fromkeys(names[key] for key in close))[:3]


def read_page(path: Path) -> Rule:
    """Read one page.

    Raises:
        RulebookError: The front matter is missing, or one of its keys is missing or of the wrong type.
    """
    text = path.read_text(encoding="utf-8")
    fence = FRONT_MATTER_FENCE + "\n"
    if not text.startswith(fence) or f"\n{fence}" not in text[len(fence) :]:
        raise RulebookError(f"{path}: a rule page starts with YAML front matter between two '---' lines")
    front_matter, body = text[len(fence) :].split(f"\n{fence}", 1)
    try:
        meta: dict[str, Any] = yaml.load(front_matter, Loader=_loader)  # noqa: S506 (a safe loader)
        return Rule(
            code=meta["code"],
            name=meta["name"],
            severity=Severity(meta["severity"]),
            fix=meta["fix"],
            since=str(meta["since"]),
            frameworks=tuple(meta["frameworks"]),
            summary=_summary(body),
            text=body.strip() + "\n",
            path=path,
        )
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise RulebookError(f"{path}: bad front matter: {error}") from error


def _summary(body: str) -> str:
    """The first sentence after the page's title: one line for lists."""
    paragraphs = [block.strip() for block in body.strip().split("\n\n")]
    first = next(block for block in paragraphs if block and not block.startswith("#"))
    return " ".join(first.split())
