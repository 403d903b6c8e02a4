"""One run: recognise, try the inputs, judge, diagnose, shrink. Runs in the child; returns a report."""

from __future__ import annotations

import functools
import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.findings import Reference, TargetReport
from lossaudit.fuzz import TargetError, devices, diagnose, inputs, parameters, report, shrink, variants, wire
from lossaudit.fuzz.checks import all_checks
from lossaudit.fuzz.given import asked_reference
from lossaudit.fuzz.inputs import HALF, Reach
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Failure, Structure
from lossaudit.fuzz.recognition.recognise import Recognition, recognise
from lossaudit.fuzz.recognition.search import Asked, Patience, Tier
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.surroundings import seed_torch
from lossaudit.fuzz.trial import Check, Session, Trial
from lossaudit.fuzz.wire import GUESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lossaudit.fuzz import FuzzOptions
    from lossaudit.fuzz.ahead import Ahead
    from lossaudit.fuzz.diagnose import Cause
    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.subject import Announce
    from lossaudit.fuzz.target import Build
    from lossaudit.fuzz.variants import Variant

# A value that is wrong under one code may be wrong under another once the loss was changed: it is still wrong.
VALUE_CODES = frozenset({"LF101", "LF103", "LF301", "LF303"})
SAME_FAILURE = dict.fromkeys(VALUE_CODES, VALUE_CODES)
LAST = ("classes_last", "images_last")
"""Layouts in which others give what stands behind the classes."""
UNLIKE = 7
"""Samples of a batch that is as long as no other dimension: what broadcasts the one to the other shows."""
FEW = 3
KEPT_FAILURES = 12
TOGETHER = 64
"""How many cases are tried before they are judged."""
PANEL_SECONDS = 10.0
"""The least time that the first panel has for itself, whatever --max-time says: a loss that was not judged does not conform."""
LAWS_SECONDS = 0.5
"""The least time that the laws have for themselves; only a slow loss needs more."""
SEARCHING = 0.5
"""The part of --max-time, of the processor's, after which no further mistakes are tried on a loss that is none as it stands."""
TRYING = 0.75
"""The part of --max-time after which no further input is tried: the rest is for the diagnosis and the simplest case."""
ENOUGH = 25
"""How many structures are drawn besides the panel of a loss whose value is wrong there: what it equals, the panel tells."""
COMPARED_CODES = frozenset({"LF101", "LF102", "LF103", "LF303", "LF503", "LF505"})
"""What a comparison with the formula of another loss may show of a right one."""
TELLING_CODES = frozenset({"LF201", "LF203", "LF301", "LF302", "LF501", "LF502", "LF504"})
CODE_ORDER = ("LF1", "LF2", "LF3", "LF4", "LF5")


@dataclass(slots=True, eq=False)
class Findings:
    """What the checks found, with the check that found it and the trial on which it did."""

    by_code: dict[str, list[tuple[Check, Failure, Trial]]] = field(default_factory=dict)

    def add(self, check: Check, failure: Failure, trial: Trial) -> None:
        """Keep a failure, unless there are plenty of its code."""
        kept = self.by_code.setdefault(failure.code, [])
        if len(kept) < KEPT_FAILURES:
            kept.append((check, failure, trial))

    def join(self, remembered: Findings) -> None:
        """Add the failures of earlier runs' inputs, where this run has found nothing of their code by itself."""
        for code, entries in remembered.by_code.items():
            self.by_code.setdefault(code, entries)


@dataclass(slots=True, eq=False)
class Explored:
    """The trials of a run and what was found on them.

    ``budget`` counts the trials that the rarer checks still run on; ``complete`` is False where the first panel, the inputs
    that every run must see, was not judged to its end. ``until``, by the monotonic clock, is when the target's time is over.
    """

    until: float = math.inf
    trials: list[Trial] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    budget: dict[str, int] = field(default_factory=lambda: {"few": FEW, "once": 1})
    complete: bool = True


def audit(
    target: str,
    builds: Sequence[Build],
    options: FuzzOptions,
    announce: Announce = silent,
    on_event: Callable[[str], None] = lambda _: None,
    asked: Asked | None = None,
    ahead: Ahead | None = None,
) -> TargetReport:
    """Fuzz a built target in this process.

    Args:
        target: How the user named it.
        builds: Every way in which it can be built, the plainest first.
        options: How it is judged.
        announce: Called before each evaluation with the stage and the case, so that a crash has an author.
        on_event: Receives one line at each step.
        asked: A reference that is at hand; None for that of the options, if they name one.
        ahead: Where the target is judged as a loss that is like no other, while mistakes are still searched for.
    """
    started = time.monotonic()
    torch.set_num_threads(1)
    seed_torch(options.seed)
    asked = asked or asked_reference(options.reference)
    supposed: Recognition | None = None

    def on_unlike(recognition: Recognition, subjects: list[Subject]) -> None:
        nonlocal supposed
        if ahead is not None:
            supposed = recognition
            ahead.start(lambda: _told_of(target, (recognition, subjects), options, started))

    found = _recognise(builds, options, announce, asked, on_unlike)
    recognition = found[0]
    if ahead is not None and supposed is not None:
        as_supposed = recognition.match is None and recognition.opened == supposed.opened
        told = ahead.result(PANEL_SECONDS) if as_supposed else None
        ahead.end()
        if told is not None:
            return _as_told(told, on_event, hurried=recognition.hurried)
    return _audited(target, found, options, started, on_event, asked)


def _told_of(
    target: str, found: tuple[Recognition, list[Subject]], options: FuzzOptions, started: float
) -> bytes:
    """What is said of a target that was not recognised, for another process."""
    lines: list[str] = []
    told = _audited(target, found, options, started, lines.append)
    return json.dumps({"events": lines, "report": wire.report_to_json(told)}).encode()


def _as_told(text: bytes, on_event: Callable[[str], None], *, hurried: bool) -> TargetReport:
    """The same again, with what has become known since."""
    told = json.loads(text)
    for line in told["events"]:
        on_event(line)
    found = wire.report_from_json(told["report"])
    return replace(found, assumptions=(report.HURRIED, *found.assumptions)) if hurried else found


def audit_seeds(
    target: str, builds: Sequence[Build], options: FuzzOptions, seeds: Iterable[int]
) -> Iterator[TargetReport]:
    """What :func:`audit` says with each of many seeds, for the price of one recognition.

    Recognition asks the same of a loss whatever the seed; all that rests on the seed is done anew for each.

    Args:
        target: How the user named it.
        builds: Every way in which it can be built.
        options: How it is judged; their seed is that of the recognition.
        seeds: The seeds.
    """
    torch.set_num_threads(1)
    seed_torch(options.seed)
    asked = asked_reference(options.reference)
    found = _recognise(builds, options, silent, asked)
    for seed in seeds:
        seed_torch(seed)
        yield _audited(target, found, replace(options, seed=seed), time.monotonic(), asked=asked)


def _audited(
    target: str,
    found: tuple[Recognition, list[Subject]],
    options: FuzzOptions,
    started: float,
    on_event: Callable[[str], None] = lambda _: None,
    asked: Asked | None = None,
) -> TargetReport:
    """Judge a target that has been recognised, or was not."""
    recognition, subjects = found
    if not recognition.opened:
        return _rejected(target, recognition)
    if asked is not None and recognition.match is None:
        return _elsewhere(target, recognition, asked)
    session = _session(recognition, subjects, asked=asked is not None)
    session.transforms = options.transforms
    session.nearest = recognition.match is not None and recognition.match.tier == Tier.PARTIAL
    on_event(report.recognised_line(session))
    explored = _explore(session, options, started)
    failures = _judge(session, recognition, explored, conventions=asked is not None)
    on_event(f"{session.calls} evaluations, {len(failures)} findings")
    reported = [
        report.finding(session, target, options, failure, None if cause is None else cause.diagnosis)
        for _, failure, cause in failures
        if options.select is None or failure.code in options.select
    ]
    if not reported and not explored.complete:
        return _unfinished(target, session, options)
    return TargetReport(
        target=target,
        reference=_reference(session, recognised=asked is None),
        verdict="diverges" if reported else "conforms",
        findings=tuple(reported),
        statistics=_statistics(session, options),
        assumptions=tuple(dict.fromkeys(session.assumptions)),
    )


def replay(
    target: str, builds: Sequence[Build], options: FuzzOptions, code: str, announce: Announce = silent
) -> str | None:
    """Run the one kept input again.

    Args:
        target: How the user named it.
        builds: Every way in which it can be built.
        options: How it is judged; ``kept`` holds the input.
        code: The code of the finding.
        announce: As for :func:`audit`.

    Returns:
        What still fails, in one sentence; None when it is mended.

    Raises:
        TargetError: The input cannot be judged any more: the target takes other inputs now, or is not recognised.
    """
    torch.set_num_threads(1)
    seed_torch(options.seed)
    asked = asked_reference(options.reference)
    recognition, subjects = _recognise(builds, replace(options, max_time=math.inf), announce, asked)
    if not recognition.opened:
        raise TargetError(_rejected(target, recognition).error or "")
    session = _session(recognition, subjects)
    case = inputs.revive(options.kept[0])
    if case.space not in session.subjects:
        taken = inputs.words_for(inputs.space_named(name) for name in session.subjects)
        raise TargetError(f"{target} does not take this input any more: it takes {taken}")
    wanted = SAME_FAILURE.get(code, frozenset({code}))
    judges = [check for check in all_checks() if check.code in wanted]
    if session.variant is None and all(check.needs_reference for check in judges):
        raise TargetError(
            f"{target} is not recognised any more, and {code} needs a reference", "name one with --reference"
        )
    trial = session.trial(case)
    found = (check.run(trial) for check in judges if session.variant is not None or not check.needs_reference)
    return next((failure.message for failure in found if failure is not None), None)


def _recognise(
    builds: Sequence[Build],
    options: FuzzOptions,
    announce: Announce,
    asked: Asked | None,
    on_unlike: Callable[[Recognition, list[Subject]], None] = lambda *_: None,
) -> tuple[Recognition, list[Subject]]:
    """Recognise the target; once more under the shim when it asked for CUDA in vain."""
    subjects = [Subject(build, Interface(""), options.call, announce) for build in builds]
    patience = Patience(SEARCHING * options.max_time)
    recognition = recognise(subjects, asked, patience, lambda unlike: on_unlike(unlike, subjects))
    if recognition.match is None and any(devices.wants_cuda(error) for error in recognition.errors):
        shimmed = [replace(subject, shim=devices.CudaShim) for subject in subjects]
        return recognise(shimmed, asked, patience, lambda unlike: on_unlike(unlike, shimmed)), shimmed
    return recognition, subjects


def _rejected(target: str, recognition: Recognition) -> TargetReport:
    """The target took none of the inputs."""
    counted: dict[str, int] = {}
    told = [error for error in recognition.errors if "numpy.ndarray" not in error] or recognition.errors
    for error in told:
        counted[error] = counted.get(error, 0) + 1
    most = max(counted, key=lambda error: counted[error]) if counted else "it returned no number"
    text = (
        f"{target} took none of the inputs that were tried (logits, probabilities, scores and boxes, each with the "
        f"targets that go with them, in both orders); most often it said {most}"
    )
    return TargetReport(target, None, "error", error=text)


def _elsewhere(target: str, recognition: Recognition, asked: Asked) -> TargetReport:
    """The target takes other inputs than those on which the named reference is defined."""
    taken = inputs.words_for(door.space for door in recognition.opened)
    text = f"{target} takes none of the inputs on which {asked.spec.name} is defined; it takes {taken}"
    return TargetReport(target, None, "error", error=text)


def _unfinished(target: str, session: Session, options: FuzzOptions) -> TargetReport:
    """Nothing was found, and too little was tried to say that nothing is there."""
    text = (
        f"not enough time to judge {target}: {session.calls} evaluations took more than --max-time "
        f"({options.max_time:g} s); allow more"
    )
    return TargetReport(target, None, "error", error=text)


def _session(recognition: Recognition, subjects: list[Subject], *, asked: bool = False) -> Session:
    # The usual order of the arguments comes first, and of each space only one door is gone through.
    opened = {door.space.name: door for door in reversed(recognition.opened)}
    doors = recognition.doors or {door.space.name: opened[door.space.name] for door in recognition.opened}
    first = next(iter(doors.values()))
    match = recognition.match
    stage = GUESS if match is None else "call"
    session = Session(
        subjects={name: replace(door.subject, stage=stage) for name, door in doors.items()},
        variant=None if match is None else match.variant,
        reach={},
        declared_reduction=parameters.declared_reduction(first.evidence),
        guard=parameters.guard_in_sight(first.evidence),
    )
    report.assume_recognition(session, recognition, asked=asked)
    report.assume_build(session, first, len(subjects))
    tier = Tier.EXACT if match is None else match.tier
    for name, door in doors.items():
        reach = _reach(session, door, tier)
        if recognition.precision == "float32" and tier < Tier.MISTAKE:
            # Of float64 it gives what float32 gives, in whichever dtype: that was seen, and is told.
            reach = replace(reach, dtypes=tuple(one for one in reach.dtypes if one != "float64"))
        session.reach[name] = reach
    if match is not None:
        session.variant = match.variant.right()
        session.limits = first.evidence.limits.of(session.variant.params)
    return session


def _reach(session: Session, door: Door, tier: Tier) -> Reach:
    """Which inputs of a space the target is known to take: tried, never supposed.

    Where a reference is the nearest one, and not the right one, to agree with it proves nothing: as many classes as the target runs
    with tell a factor of one half from one of 1 / C, and as many steps or pixels one of 7 / 9 from what it is for three steps.
    Where it agrees as little as that, and was asked for, it was promised for all that the target runs on.
    """
    space, variant = door.space, session.variant
    numpy = door.subject.interface.arrays

    def takes(structure: Structure) -> bool:
        case = inputs.fill(space, structure, {} if variant is None else variant.params)
        seen = door.subject.observe(case, stage="probe")
        if seen.value is None or seen.backward_error is not None:
            return False
        return variant is None or variants.reproduces(variant, case, seen)

    base = Structure(
        batch=3,
        classes=door.classes[0],
        features=door.features[0],
        targets=space.target_profiles[0],
        seed=11,
    )
    fits = functools.partial(_runs, door) if tier >= Tier.PARTIAL else takes
    classes = tuple(count for count in door.classes if fits(replace(base, classes=count))) or door.classes[:1]
    base = replace(base, classes=classes[0])
    deep = replace(base, classes=classes[-1], batch=UNLIKE)
    fits_extra = fits if tier == Tier.ASKED or space.extras == space.probed_extras else takes
    extras = tuple(
        extra
        for extra in space.extras
        if not extra
        or fits_extra(replace(deep, extra=extra))
        or _misreads(session, door, replace(deep, extra=extra))
    )
    dtypes = ["float32", *(name for name in ("float64",) if _runs(door, replace(base, dtype=name)))]
    if not numpy and variant is not None:
        dtypes += [name for name in sorted(HALF) if _runs(door, replace(base, dtype=name))]
    layouts = ("contiguous",) if numpy else ("contiguous", "transposed", "strided")
    features = tuple(
        count for count in door.features if count == base.features or takes(replace(base, features=count))
    )
    targets = _targets(session, door, base, takes)
    reach = Reach(classes, extras, targets, tuple(dtypes), layouts, space.batches, features)
    report.assume_reach(session, door, reach)
    if "float64" not in dtypes and _runs(door, base):
        report.assume_no_float64(session)
    return reach


def _misreads(session: Session, door: Door, structure: Structure) -> bool:
    """Whether the target takes steps or pixels and makes of them what a mistake of the bank does, in whatever order they come."""
    variant, space = session.variant, door.space
    deeper = [] if variant is None else [each for each in mistakes_of(variant.spec.name) if each.deeper]
    if variant is None or not deeper:
        return False
    case = inputs.fill(space, structure, variant.params)
    seen = door.subject.observe(case, stage="probe")
    if not any(
        variants.reproduces(variant.with_mistakes((each,), variant.params), case, seen) for each in deeper
    ):
        return False
    return not any(
        variants.reproduces(variant, other, door.subject.observe(other, stage="probe"))
        for layout in LAST
        for name in (f"{layout}/{space.name}",)
        if name in all_spaces()
        for other in (replace(case, space=name),)
    )


def _runs(door: Door, structure: Structure) -> bool:
    case = inputs.fill(door.space, structure, {})
    seen = door.subject.observe(case, stage="probe")
    return seen.value is not None and bool(torch.isfinite(seen.value).all())


def _targets(
    session: Session, door: Door, base: Structure, takes: Callable[[Structure], bool]
) -> tuple[str, ...]:
    """Target profiles: soft ones only if the target takes them, ignored ones only if it declares an index."""
    variant = session.variant
    defined = None if variant is None else variant.spec.target_profiles
    kept = []
    for profile in door.space.target_profiles:
        if defined is not None and profile not in defined:
            continue
        if profile == "soft" and not takes(replace(base, targets=profile)):
            continue
        if "ignored" in profile and (variant is None or variant.params.get("ignore_index") is None):
            continue
        kept.append(profile)
    return tuple(kept) or door.space.target_profiles[:1]


def _explore(session: Session, options: FuzzOptions, started: float) -> Explored:
    """Run the panels and what Hypothesis draws; judge every trial.

    Recognition may have used up the time, most of all on a busy machine. The panel of the usual inputs has time of its
    own, for without it nothing would be judged; the others and what is drawn besides are given up.
    """
    explored = Explored(until=started + options.max_time)
    remembered = _recheck(session, options)
    end = started + TRYING * options.max_time
    enough = max(explored.until, time.monotonic() + PANEL_SECONDS)
    names = list(session.reach)
    explored.complete = _run_panel(session, names[0], options, explored, enough)
    in_time = explored.complete and all(
        time.monotonic() <= end and _run_panel(session, name, options, explored, end) for name in names[1:]
    )
    wanted = options.max_examples
    if "LF101" in explored.findings.by_code:
        wanted = min(wanted, ENOUGH)
    count = max(1, wanted // len(session.reach))
    in_time = in_time and all(
        time.monotonic() <= end
        and _run_all(
            session, name, inputs.draw(inputs.space_named(name), reach, options.seed, count), explored, end
        )
        for name, reach in session.reach.items()
    )
    if not in_time:
        session.assumptions.append(f"stopped after {session.calls} evaluations: --max-time was reached")
    explored.findings.join(remembered)
    return explored


def _run_panel(session: Session, name: str, options: FuzzOptions, explored: Explored, end: float) -> bool:
    """Run and judge what every run must see of one space; as :func:`_run_all`."""
    panel = inputs.panel(inputs.space_named(name), session.reach[name], options.seed)
    return _run_all(session, name, panel, explored, end)


def _run_all(
    session: Session, space_name: str, structures: Iterable[Structure], explored: Explored, end: float
) -> bool:
    """Run and judge the structures of one space; False where ``end``, by the monotonic clock, came first."""
    space = inputs.space_named(space_name)
    params = {} if session.variant is None else session.variant.params
    cases = inputs.fill_all(space, structures, params)
    session.foresee(cases)

    def go_on() -> bool:
        return time.monotonic() <= end

    while cases:
        # The rarer checks call the loss themselves, and one that remembers tells the order.
        count = 1 if any(left > 0 for left in explored.budget.values()) else TOGETHER
        wanted, cases = cases[:count], cases[count:]
        trials = session.trials(wanted, go_on)
        explored.trials += trials
        for trial in trials:
            _check(trial, explored.findings, explored.budget)
        if len(trials) < len(wanted):
            return False
    return True


def _recheck(session: Session, options: FuzzOptions) -> Findings:
    """Try the inputs of earlier failures, before anything else and outside the count."""
    findings = Findings()
    counted = session.calls
    for kept in options.kept:
        try:
            case = inputs.revive(kept)
        except TargetError:
            continue  # of another version: nothing is lost but a head start
        reach = session.reach.get(case.space)
        if reach is not None and case.dtype in reach.dtypes:
            _check(session.trial(case), findings, {"few": 0, "once": 0})
    session.calls = counted
    return findings


@functools.cache
def _checks_at(frequencies: tuple[str, ...], has_reference: bool, agreeing: bool) -> tuple[Check, ...]:
    return tuple(
        check
        for check in all_checks()
        if check.frequency in frequencies
        and (has_reference or not check.needs_reference)
        and not (agreeing and check.only_disagreeing)
    )


def _check(trial: Trial, findings: Findings, budget: dict[str, int]) -> None:
    plain = (
        trial.case.magnitude == "ordinary"
        and trial.case.dtype == "float32"
        and trial.observed.value is not None
    )
    wanted = ("every", *(frequency for frequency, left in budget.items() if plain and left > 0))
    for check in _checks_at(wanted, trial.variant is not None, trial.agrees_everywhere):
        if len(findings.by_code.get(check.code, ())) >= KEPT_FAILURES:
            continue
        failure = check.run(trial)
        if failure is None:
            continue
        if trial.joined:  # only what a plain call shows counts
            _check(trial.session.trial(trial.case), findings, budget)
            return
        findings.add(check, failure, trial)
    if plain:
        for frequency in budget:
            budget[frequency] -= 1


def _judge(
    session: Session, recognition: Recognition, explored: Explored, *, conventions: bool
) -> list[tuple[Check, Failure, Cause | None]]:
    """One cause, one finding: leave out what the diagnosis explains, shrink what stays."""
    trials, findings = explored.trials, explored.findings
    dependent = [code for code, found in findings.by_code.items() if not found[0][1].independent]
    cause: Cause | None = None
    variant = session.variant
    if variant is None or dependent:
        _check_laws(session, explored, max(explored.until, time.monotonic() + LAWS_SECONDS))
    if variant is not None and dependent:
        door = next(iter(recognition.doors.values()))
        cause = diagnose.diagnose(trials, variant, door.evidence, door.classes, conventions=conventions)
    kept: list[tuple[Check, Failure, Cause | None]] = []
    for code in sorted(findings.by_code):
        entry = _kept_entry(code, findings.by_code[code], cause)
        if entry is not None:
            kept.append(entry)
    if dependent and not kept:
        # A cause that leaves nothing to be its consequence of has explained too much.
        check, failure, _ = min(findings.by_code[min(dependent)], key=lambda entry: _plainness(entry[1]))
        kept.append((check, failure, cause if cause is not None and cause.variant is None else None))
    if session.nearest and cause is None:
        kept = _without_reference(session, kept)
    return [_shrunk(session, check, failure, reason) for check, failure, reason in _relabelled(kept, cause)]


def _without_reference(
    session: Session, kept: list[tuple[Check, Failure, Cause | None]]
) -> list[tuple[Check, Failure, Cause | None]]:
    """What stays of the findings on a loss that is near to a known one, where no cause explains how they part.

    Weights made of the batch, a root for each column, one positive for each anchor: right losses equal a plainer one on a
    part of the inputs. That such a loss is no sum of its samples' losses, or has another value than the plainer one, is no
    defect; a law that no loss of the kind may break is.
    """
    if any(failure.code in TELLING_CODES for _, failure, _ in kept):
        return kept
    dropped = [
        failure.code for _, failure, _ in kept if failure.code in COMPARED_CODES and not failure.independent
    ]
    if dropped and session.variant is not None:
        session.assumptions.append(
            f"it parts from {session.variant.spec.name} in a way that no known mistake explains and breaks no law by "
            "itself, so it was taken for another loss: judged by laws, autograd and contract only"
        )
        session.variant = None
    return [entry for entry in kept if entry[1].code not in dropped or entry[1].independent]


def _check_laws(session: Session, explored: Explored, end: float) -> None:
    """The laws of the family, on the trials that differ, until ``end`` by the monotonic clock."""
    laws = frozenset({"minimum"}) if session.variant is None else session.variant.spec.laws
    telling = [
        t
        for t in explored.trials
        if session.variant is None or t.value_agrees is False or t.gradient_agrees is False
    ]
    for check in all_checks():
        if check.frequency != "diverging" or (check.law is not None and check.law not in laws):
            continue
        if check.needs_reference and session.variant is None:
            continue
        for trial in telling[: 4 * FEW]:
            if time.monotonic() > end:
                return
            failure = check.run(trial)
            if failure is not None:
                explored.findings.add(check, failure, trial)


def _kept_entry(
    code: str, found: list[tuple[Check, Failure, Trial]], cause: Cause | None
) -> tuple[Check, Failure, Cause | None] | None:
    """The simplest failure of a code with its cause; None when it is a consequence of the cause."""
    check, failure, _ = min(found, key=lambda entry: _plainness(entry[1]))
    if failure.independent or cause is None:
        return check, failure, None
    if code in cause.codes:
        return check, failure, cause
    if cause.variant is None:
        return None if code in {"LF102", "LF203", "LF303"} else (check, failure, None)
    if code in {"LF102", "LF302"}:
        unexplained = [entry for entry in found if not diagnose.explains_gradient(cause.variant, entry[2])]
        if not unexplained:
            return None
        check, failure, _trial = min(unexplained, key=lambda entry: _plainness(entry[1]))
        return check, failure, None
    if code == "LF101" and cause.codes & {"LF103"}:
        return check, failure, cause
    return None


def _relabelled(
    kept: list[tuple[Check, Failure, Cause | None]], cause: Cause | None
) -> list[tuple[Check, Failure, Cause | None]]:
    """A wrong declared reduction shows as a wrong value; its code is that of the reduction."""
    if cause is None or "LF103" not in cause.codes or "LF101" in cause.codes:
        return kept
    return [
        (
            check,
            replace(failure, code="LF103") if failure.code == "LF101" and reason is cause else failure,
            reason,
        )
        for check, failure, reason in kept
    ]


def _plainness(failure: Failure) -> tuple[Any, ...]:
    case = failure.case
    if case is None:
        return (0,)
    finite = case.prediction[torch.isfinite(case.prediction)]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    return (
        not failure.clear,
        case.dtype != "float32",
        case.layout != "contiguous",
        size > 8,
        case.size,
        size,
    )


def _shrunk(
    session: Session, check: Check, failure: Failure, cause: Cause | None
) -> tuple[Check, Failure, Cause | None]:
    """The failure on the simplest case, and where it starts."""
    case = failure.case
    if case is None or check.frequency == "once" or "reduction" in failure.evidence:
        return check, failure, cause
    code = failure.code
    subject, variant = session.subjects[case.space], session.variant

    def again(candidate: Case) -> Failure | None:
        return check.run(session.trial(candidate, subject, variant))

    if again(case) is None:
        return check, failure, cause  # it needs what went before: keep the case as it was found
    fixed = len(session.reach[case.space].classes) == 1

    def fails(candidate: Case) -> bool:
        found = again(candidate)
        return found is not None and (found.clear or not failure.clear)

    small = shrink.shrink(case, fails, fixed_classes=fixed)
    simplest = again(small) or failure
    evidence = dict(simplest.evidence)
    start = shrink.onset(small, fails)
    message = simplest.message
    if start is not None:
        quantity, size = start
        evidence["starts_at"] = {"quantity": quantity, "value": float(f"{size:.4g}")}
        by = "by more than 1 % " if failure.clear and code in {"LF101", "LF303"} else ""
        message += f" (this input scaled down fails {by}from a {quantity} of {size:.4g} on)"
    return check, replace(simplest, code=code, message=message, evidence=evidence), cause


def _reference(session: Session, *, recognised: bool) -> Reference | None:
    variant: Variant | None = session.variant
    if variant is None:
        return None
    return Reference(variant.spec.name, report.shown_parameters(variant), recognised)


def _statistics(session: Session, options: FuzzOptions) -> dict[str, Any]:
    dtypes = {name for reach in session.reach.values() for name in reach.dtypes}
    return {
        "examples": session.calls,
        "seconds": None,
        "seed": options.seed,
        "devices": ["cpu", *devices.present()],
        "dtypes": sorted(dtypes),
    }
