"""Detectors: one small function a rule, registered for the event that it looks at.

A detector gets an event and yields :class:`Hit` records. It names the code only; name, severity and documentation are
on the rule's page. To add a rule, write a function with :func:`detector` in a module that :data:`MODULES` lists.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lossaudit.check.events import (
    Backward,
    Construct,
    Event,
    ExternalCall,
    LoopDone,
    LossCall,
    PartialCall,
    TrainedOp,
)
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.values import Site, Step

MODULES = (
    "inputs", "targets", "focal", "modules", "reduction", "numerics", "history", "devices", "steps", "bodies",
)  # fmt: skip
"""The modules of this package that register detectors."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A broken contract at a place of the source, before positions are known."""

    code: str
    site: Site
    message: str
    trail: tuple[Step, ...] = ()
    help: str | None = None
    fix: Remedy | None = None


Judge = Callable[[Any], Iterable[Hit]]


Needs = frozenset[frozenset[str]]
"""Alternatives, each of which is a set of signs that must come together (:mod:`lossaudit.check.infer.reach`)."""

TRAINED = "trained"
"""The sign of something that is optimised."""
COMPARED = "compared"
"""The sign of a comparison of which something is made: where it stands makes no file take part in what is optimised."""
HERE, HOME = "here:", "home:"
"""Begin a sign that stands in the text of the root itself, and one that stands in its file."""
_USUAL_NEEDS: dict[type[Event], str] = {
    LossCall: "loss", Backward: "backward", LoopDone: "backward", Construct: "loss", PartialCall: "loss", ExternalCall: "loss",
}  # fmt: skip
"""What there must be in the code for an event at all."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A registered rule."""

    code: str
    event: type[Event]
    judge: Judge
    of_definitions: bool
    needs: Needs
    ops: frozenset[str]


_REGISTRY: list[Detector] = []
J = TypeVar("J", bound=Judge)


def detector(
    code: str,
    event: type[Event],
    *,
    of_definitions: bool = False,
    needs: str | None = None,
    ops: Iterable[str] = (),
    is_wired: bool = False,
) -> Callable[[J], J]:
    """Register a function as the detector of ``code`` for one kind of event.

    ``of_definitions`` says that the rule is about the text of a loss, whatever objects the project builds of it: it is also told
    what happens when a class is run with unknown constructor arguments. ``needs`` names what the code must mention for the rule to
    fire: ``log exp | sqrt`` is both of the first two operations, or the third. Code that does not is never run. Left out, it is what
    the kind of event needs; where that is nothing, all code is run. ``ops`` names the operations that it judges, where the event is
    about one: of others it is not told. ``is_wired`` says of a rule on what is optimised that its parts are found apart, a softmax
    in one file and its logarithm in another, so that even a file that only brings the two together has to be run.
    """
    wanted = _USUAL_NEEDS.get(event, "") if needs is None else needs
    alternatives = frozenset(frozenset(one.split()) for one in wanted.split("|"))
    if event is TrainedOp:
        alternatives = frozenset(_trained(alternatives, is_wired=is_wired))

    def register(judge: J) -> J:
        _REGISTRY.append(Detector(code, event, judge, of_definitions, alternatives, frozenset(ops)))
        return judge

    return register


def _trained(alternatives: Needs, *, is_wired: bool) -> Iterator[frozenset[str]]:
    """The same for what is optimised: an operation, or what optimises it, stands in the file that is looked at.

    Where both stand in other files, those files are looked at for themselves.
    """
    for one in alternatives:
        whole = one | {TRAINED}
        yield from (whole | {f"{HOME}{sign}"} for sign in whole - {COMPARED}) if not is_wired else (whole,)


def _either(detectors: Iterable[Detector]) -> Needs:
    """What one of the detectors needs: the alternatives that hold no other."""
    every = {alternative for one in detectors for alternative in one.needs}
    return frozenset(one for one in every if not any(other < one for other in every))


class Detectors:
    """The detectors of the selected codes, by event and operation; what nobody listens to is never built."""

    def __init__(self, codes: frozenset[str] | None) -> None:
        for name in MODULES:
            importlib.import_module(f"{__name__}.{name}")
        self._chosen = [one for one in _REGISTRY if codes is None or one.code in codes]
        self.events = frozenset(one.event for one in self._chosen)
        self.needs = _either(self._chosen)
        self.needs_of_definitions = _either(one for one in self._chosen if one.of_definitions)
        self._judges: dict[tuple[type[Event], str, bool], tuple[Judge, ...]] = {}

    @property
    def of_definitions(self) -> bool:
        """Whether a rule is about the text of a loss, whatever objects are built of it."""
        return bool(self.needs_of_definitions)

    def judges(self, kind: type[Event], op: str = "", *, only_of_definitions: bool) -> tuple[Judge, ...]:
        """The detectors of one kind of event, about the operation ``op`` if it is about one."""
        key = kind, op, only_of_definitions
        found = self._judges.get(key)
        if found is None:
            found = self._judges[key] = tuple(
                one.judge
                for one in self._chosen
                if one.event is kind
                and (not one.ops or op in one.ops)
                and (one.of_definitions or not only_of_definitions)
            )
        return found


@dataclass(slots=True)
class Vote:
    """Findings of alternatives of which only one is real: those stand that every alternative gives."""

    ballots: list[list[Hit]] = field(default_factory=list)
    collector: Collector | None = None

    def ballot(self) -> AbstractContextManager[None]:
        """Collect what one alternative gives."""
        assert self.collector is not None  # noqa: S101 (made by Collector.unanimous)
        return _Ballot(self, self.collector)

    def result(self) -> list[Hit]:
        """What all ballots agree on."""
        if not all(self.ballots):
            return []
        common = set.intersection(*({(h.code, h.site) for h in ballot} for ballot in self.ballots))
        return [hit for hit in self.ballots[0] if (hit.code, hit.site) in common]


@dataclass(slots=True)
class _Ballot(AbstractContextManager[None]):
    """One alternative. It is entered for each operation on a union: a generator would take three times as long."""

    vote: Vote
    collector: Collector
    outer: list[Hit] = field(default_factory=list)

    def __enter__(self) -> None:
        self.outer, self.collector.hits = self.collector.hits, []

    def __exit__(self, *error: object) -> None:
        self.vote.ballots.append(self.collector.hits)
        self.collector.hits = self.outer


@dataclass(slots=True)
class Collector:
    """The findings of a run; ``votes`` counts the votes that are open."""

    hits: list[Hit] = field(default_factory=list)
    votes: int = 0

    def add(self, hits: Iterable[Hit]) -> None:
        """Keep what a detector said."""
        self.hits += hits

    def take_back(self, hits: list[Hit]) -> None:
        """Drop these findings; what another run of the same code said stays."""
        dropped = {id(hit) for hit in hits}
        if dropped:
            self.hits = [hit for hit in self.hits if id(hit) not in dropped]

    @contextmanager
    def unanimous(self) -> Iterator[Vote]:
        """Open a vote; what all of its ballots agree on is kept."""
        vote = Vote(collector=self)
        self.votes += 1
        try:
            yield vote
        finally:
            self.votes -= 1
        if vote.ballots:
            self.add(vote.result())


def registered_codes() -> frozenset[str]:
    """Every code that has a detector."""
    Detectors(frozenset())
    return frozenset(one.code for one in _REGISTRY)
