"""Which inputs does the target take at all? Every space, argument order and kind of array is tried."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz import arguments, inputs, parameters
from lossaudit.fuzz.model import Case, Observation
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import Evidence, Interface, Subject, gather_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossaudit.fuzz.model import Space, Structure

Response = tuple[Case, Observation]
NO_LABELS = ("indices", "boxes", "numbers", "logarithms", "logits", "originals")
"""Words for targets that nobody would give as integers where they are floating-point numbers."""
OTHER_CLASS_COUNTS = (3, 4, 5, 10, 1)


@dataclass(frozen=True, eq=False)
class Door:
    """One interface that the target accepts, with its answers to the probes.

    ``renamed``: the names of its parameters say that they are something else, a target for a second view, say.

    ``answered`` are the answers that have shown that it is open; the probes that are ``waiting`` are put when somebody wants
    to know more of it, for most doors of a target lead nowhere.
    """

    subject: Subject
    space: Space
    evidence: Evidence
    classes: tuple[int, ...]
    answered: tuple[Response, ...]
    features: tuple[int, ...] = (0,)
    waiting: tuple[Structure, ...] = ()
    renamed: bool = False

    @cached_property
    def first(self) -> Response:
        """The first answer that holds a number."""
        return next((case, seen) for case, seen in self.answered if seen.value is not None)

    @cached_property
    def responses(self) -> list[Response]:
        """The answers to all probes."""
        more = (inputs.probe(self.space, structure) for structure in self.waiting)
        return [*self.answered, *((case, _probed(self.subject, case)) for case in more)]

    @cached_property
    def comparable(self) -> list[Response]:
        """The answers that hold a number."""
        return [(case, seen) for case, seen in self.responses if seen.value is not None]


def _probed(subject: Subject, case: Case, *, gradient: bool = False) -> Observation:
    return subject.observe(case, gradient=gradient, stage="probe")


def open_doors(subject: Subject, wanted: tuple[str, ...] = ()) -> tuple[list[Door], list[str]]:
    """Try every space in its usual layout, argument order and kind of array; keep those that give numbers.

    Args:
        subject: The target.
        wanted: Spaces of a reference that the user named: there, NaN is an answer too.
    """
    evidence = gather_evidence(subject.build, subject.call)
    doors, errors = _try_all(subject, evidence, None, wanted)
    for count in OTHER_CLASS_COUNTS:
        if _by_name(doors) or not errors:
            break
        # It may be made for one class count without saying so: a constant vector of class weights, say.
        found, _ = _try_all(subject, evidence, (count,), wanted)
        doors = found if _by_name(found) else doors
    return _prefer_arrays(doors), errors


def open_layouts(subject: Subject, usual: Sequence[Door], wanted: tuple[str, ...] = ()) -> list[Door]:
    """Try every space in its other layouts; keep those that give other numbers than the usual one.

    Args:
        subject: The target.
        usual: The doors of the usual layouts.
        wanted: As for :func:`open_doors`.
    """
    evidence = gather_evidence(subject.build, subject.call)
    known = {door.space.kind for door in usual}
    doors, _ = _try_all(subject, evidence, None, wanted, usual)
    return _prefer_arrays([door for door in doors if door.space.kind not in known or not _is_as_usual(door)])


def _is_as_usual(door: Door) -> bool:
    """Whether the same numbers in the usual layout of the space give the same."""
    case, seen = door.first
    usual = replace(case, space=door.space.kind)
    again = door.subject.observe(usual, gradient=False, stage="probe").value
    return (
        again is not None
        and seen.value is not None
        and again.shape == seen.value.shape
        and torch.allclose(again, seen.value, rtol=1e-5, equal_nan=True)
    )


def _try_all(
    subject: Subject,
    evidence: Evidence,
    only: tuple[int, ...] | None,
    wanted: tuple[str, ...],
    usual: Sequence[Door] | None = None,
) -> tuple[list[Door], list[str]]:
    """The doors of the usual layouts, or of the others where those of the usual ones are given."""
    layouts, known = usual is not None, usual or ()
    kinds = {door.space.kind for door in known}
    doors: list[Door] = []
    errors: list[str] = []
    for space in all_spaces().values():
        if (bool(space.layout) or space.broadcasts) is not layouts:
            continue
        if not max(space.classes) and only is not None:
            continue
        classes = parameters.class_counts(evidence, space.classes) if max(space.classes) else space.classes
        classes = only or classes
        for sizes in _sizes(evidence, space, classes):
            if any(d.space.name == space.part_of for d in _by_name(doors)):
                break
            asking = _Asking(
                # One answer will do of a kind that is known: nothing is proved by that, and most layouts lead nowhere.
                least=1 if space.kind in kinds else None,
                finite=space.name not in wanted,
                arrays=not any(_is_of_tensors(door) for door in (*known, *doors)),
            )
            found, failed = _try_space(subject, space, evidence, sizes, asking)
            doors += found
            errors += failed
            if found:
                break
    return doors, errors


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The class counts and lengths of embeddings to draw."""

    classes: tuple[int, ...]
    features: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is asked of a space before its door counts as open.

    Attributes:
        least: How many probes must give a number; None for half of them.
        finite: Whether one of the numbers must be finite.
        arrays: Whether arrays are tried too.
    """

    least: int | None
    finite: bool
    arrays: bool

    def is_met(self, responses: Sequence[Response], probes: int) -> bool:
        """Whether the responses to some of the probes are enough."""
        numbers = [seen.value for _, seen in responses if seen.value is not None]
        least = probes // 2 if self.least is None else self.least
        return len(numbers) >= least and (
            not self.finite or any(bool(torch.isfinite(value).all()) for value in numbers)
        )


def _sizes(evidence: Evidence, space: Space, classes: tuple[int, ...]) -> list[_Sizes]:
    """Sizes to try: those of a matrix that the target holds go first, one row for each class, then turned."""
    usual = [_Sizes(classes, space.features)]
    if 0 in classes and max(classes):
        usual.append(_Sizes(tuple(filter(None, classes)), space.features))  # rows, for who takes no bare [N]
    if not max(space.features) or not max(space.classes):
        return usual
    shapes = parameters.matrix_shapes(evidence)
    return [_Sizes((rows,), (columns,)) for rows, columns in shapes] + usual


def _is_of_tensors(door: Door) -> bool:
    """Whether a target makes of tensors what a gradient flows through: then it is no NumPy loss, and is fed no arrays."""
    return not door.subject.interface.arrays and door.first[1].differentiable


def _try_space(
    subject: Subject, space: Space, evidence: Evidence, sizes: _Sizes, asking: _Asking
) -> tuple[list[Door], list[str]]:
    """The doors of one space at given sizes."""
    doors: list[Door] = []
    errors: dict[bool, list[str]] = {False: [], True: []}
    renamed = bool(space.parts) and arguments.mean_otherwise(space, subject.build.loss, subject.call)
    for interface in _interfaces(space, subject):
        if interface.arrays and (not asking.arrays or any(map(_is_of_tensors, doors))):
            continue
        if interface.integer_labels and any(
            door.subject.interface == replace(interface, integer_labels=False) for door in doors
        ):
            continue  # it takes the same labels as numbers
        used = Subject(subject.build, interface, subject.call, subject.announce, subject.shim)
        probes = inputs.probe_structures(
            sizes.classes, space.target_profiles[0], sizes.features, space.probed_extras
        )
        responses, error = _ask(used, space, probes, asking)
        if error is not None:
            errors[interface.arrays].append(error)
        elif asking.is_met(responses, len(probes)):
            waiting = tuple(probes[len(responses) :])
            doors.append(
                Door(used, space, evidence, sizes.classes, tuple(responses), sizes.features, waiting, renamed)
            )
    return doors, errors[False] or errors[
        True
    ]  # what it says of arrays tells little, unless it takes nothing else


def plausible(doors: list[Door]) -> list[Door]:
    """Leave out doors that are open by accident.

    A loss that takes class indices is a loss on classes: that it also swallows rows of labels or boxes proves nothing.
    One that takes any two tensors of one shape is no loss on boxes. What a parameter is not named for, it seldom means.
    """
    doors = [door for door in _by_name(doors) if not _calculates_with_indices(door)]
    names = {door.space.name for door in doors}
    if any(name.endswith("-indices") for name in names):
        kept = ("-indices", "-rows")
        return [
            door
            for door in doors
            if door.space.special or door.space.name.endswith(kept) or "indices" in door.space.target
        ]
    if any(name.endswith("-labels") for name in names):
        return [door for door in doors if "boxes" not in door.space.target]
    return doors


def _by_name(doors: list[Door]) -> list[Door]:
    return [door for door in doors if not door.renamed]


def _calculates_with_indices(door: Door) -> bool:
    """Whether what should be indices is taken for numbers: a quarter more changes the loss, and another quarter again.

    A loss that asks which targets equal a class finds none a quarter further on, and none again after that.
    """
    if not door.space.name.endswith("-indices"):
        return False
    case, seen = door.first
    values = [seen.value]
    for shift in (0.0, 0.25, 0.5):
        target = case.target.double() + shift if shift else case.target
        values.append(_probed(door.subject, replace(case, target=target)).value)
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not torch.equal(numbers[0], numbers[1]):
        return False  # it takes no numbers, or gives another answer each time
    return not torch.equal(numbers[1], numbers[2]) and not torch.equal(numbers[2], numbers[3])


def _interfaces(space: Space, subject: Subject) -> Iterator[Interface]:
    """The interfaces of a space, the usual one first."""
    if space.parts:
        orders = arguments.orders(space, subject.build.loss, subject.call)
        for arrays, order in itertools.product((False, True), orders):
            yield Interface(space.name, arrays=arrays, order=order)
            if "label" in space.target:
                yield Interface(space.name, arrays=arrays, integer_labels=True, order=order)
        return
    for arrays, swapped in itertools.product((False, True), (False, True)):
        yield Interface(space.name, swapped, arrays)
        if not any(word in space.target for word in NO_LABELS):
            yield Interface(space.name, swapped, arrays, integer_labels=True)


def _ask(
    subject: Subject, space: Space, probes: Sequence[Structure], asking: _Asking
) -> tuple[list[Response], str | None]:
    """Answers to the probes, as many as show that the target takes them; an error where even the first plain ones fail."""
    responses: list[Response] = []
    for structure in probes:
        case = inputs.probe(space, structure)
        seen = _probed(subject, case, gradient=not responses)
        responses.append((case, seen))
        if len(responses) == 1 and seen.value is None:
            return responses, f"{seen.error_type}: {seen.error}"
        if asking.is_met(responses, len(probes)):
            break
    return responses, None


def _prefer_arrays(doors: list[Door]) -> list[Door]:
    """A function that turns its tensors into arrays is a NumPy loss: feed it arrays, and judge no gradient."""

    def place(door: Door) -> tuple[str, bool, tuple[int, ...]]:
        return door.space.name, door.subject.interface.swapped, door.subject.interface.order

    by_arrays = {place(door) for door in doors if door.subject.interface.arrays}

    def is_shadow(door: Door) -> bool:
        first = door.first[1]
        numpy_result = (
            first.dtype not in {"float16", "bfloat16", "float32", "float64"} or not first.differentiable
        )
        return not door.subject.interface.arrays and place(door) in by_arrays and numpy_result

    def returns_tensor(door: Door) -> bool:
        return not door.subject.interface.arrays

    kept = [door for door in doors if not is_shadow(door)]
    return sorted(kept, key=lambda door: not returns_tensor(door))
