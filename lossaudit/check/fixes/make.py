"""From remedies to fixes: the registered rewrites, and what holds for all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lossaudit.check.contracts import Contracts
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.check.values import Site
from lossaudit.findings import Applicability, Edit, Fix
from lossaudit.notebooktext import SUFFIX
from lossaudit.rulebook import load_rules

MODULES = ("activations", "arguments", "logarithms", "losses", "training", "written_out")
"""The modules of this package that register rewrites."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rewrite proposes. ``elsewhere`` says that it changes what other code may read: then it is never safe."""

    message: str
    edits: tuple[Edit, ...]
    elsewhere: bool = False


class Desk:
    """The files that may be edited, parsed when they are first needed, and the contracts of the frameworks in them."""

    def __init__(self, read: Callable[[str], bytes], editable: Iterable[str], contracts: Contracts) -> None:
        self.contracts = contracts
        self._read = read
        self._editable = frozenset(editable)
        self._texts: dict[str, Text | None] = {}

    def text(self, site: Site) -> Text:
        """The file of a site."""
        if site.path not in self._editable or not site.path.endswith((".py", ".pyw", SUFFIX)):
            raise Unclear
        if site.path not in self._texts:
            self._texts[site.path] = _parsed(site.path, self._read(site.path))
        text = self._texts[site.path]
        if text is None:
            raise Unclear
        return text


def _parsed(filename: str, source: bytes) -> Text | None:
    try:
        return Text(filename, source)
    except Unclear:
        return None


Rewrite = Callable[[Desk, Remedy], Draft]
_REWRITES: dict[str, Rewrite] = {}


def rewrite(name: str) -> Callable[[Rewrite], Rewrite]:
    """Register a function as the rewrite that remedies ask for by ``name``. It raises ``Unclear`` where no edit is certain."""

    def register(function: Rewrite) -> Rewrite:
        _REWRITES[name] = function
        return function

    return register


def make_fix(desk: Desk, code: str, remedies: Sequence[Remedy | None]) -> Fix | None:
    """The fix of a finding to which every one of ``remedies`` belongs; None unless all of them can be carried out."""
    kind = load_rules()[code].fix
    if kind == "none" or not remedies:
        return None
    for name in MODULES:
        importlib.import_module(f"lossaudit.check.fixes.{name}")
    drafts: list[Draft] = []
    try:
        for remedy in dict.fromkeys(remedies):
            if remedy is None:
                return None
            drafts += _carried_out(desk, remedy)
        edits = _joined(edit for draft in drafts for edit in draft.edits)
    except Unclear:
        return None
    is_safe = kind == "safe" and not any(draft.elsewhere for draft in drafts)
    return (
        Fix(Applicability.SAFE if is_safe else Applicability.UNSAFE, drafts[0].message, edits)
        if edits
        else None
    )


def joined_fix(fixes: Sequence[Fix | None]) -> Fix | None:
    """The fix of a finding that came about in several ways, each with its own; None unless all of them can be made together."""
    known = [fix for fix in dict.fromkeys(fixes) if fix is not None]
    if len(known) < 2 or None in fixes:
        return None if None in fixes or not known else known[0]
    try:
        edits = _joined(edit for fix in known for edit in fix.edits)
    except Unclear:
        return None
    is_safe = all(fix.applicability is Applicability.SAFE for fix in known)
    return replace(
        known[0], applicability=Applicability.SAFE if is_safe else Applicability.UNSAFE, edits=edits
    )


def _carried_out(desk: Desk, remedy: Remedy) -> list[Draft]:
    try:
        drafts = [_REWRITES[remedy.rewrite](desk, remedy)]
        return drafts if remedy.also is None else [*drafts, *_carried_out(desk, remedy.also)]
    except Unclear:
        if remedy.otherwise is None:
            raise
        return _carried_out(desk, remedy.otherwise)


def _joined(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Each edit once, in order. Two that touch the same text do not go together."""
    wanted = sorted({edit for edit in edits if edit.content or edit.span.start != edit.span.end}, key=_order)
    for one, other in pairwise(wanted):
        if one.span.filename == other.span.filename and (
            other.span.start < one.span.end or other.span == one.span
        ):
            raise Unclear
    return tuple(wanted)


def _order(edit: Edit) -> tuple[object, ...]:
    return edit.span.filename, edit.span.start, edit.span.end, edit.content
