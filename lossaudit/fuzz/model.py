"""The records that the fuzzer is made of: references, mistakes, spaces, cases, observations.

A family is added by writing records, not code: a *space* says which inputs there are, a *reference* which formula
holds on them, a *mistake* how people get that formula wrong, a *check* what is judged. Each lives in its own file and
is collected by the package that holds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor

    Numbers = NDArray[np.float64]

Params = Mapping[str, Any]
ParameterKind = Literal[
    "number", "per-class", "tensor", "matrix", "index", "choice", "form", "flag", "slope", "declared"
]

# A difference of a parameter that ordinary inputs do not show in float32.
NEGLIGIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class Terms:
    """What a loss is before it is reduced.

    ``losses`` holds one loss for each sample (or element), its weight already applied; ``shares`` what each counts
    in the denominator of the mean: 1, its class weight, or 0 when it is ignored. Both have the same shape.
    """

    losses: Tensor
    shares: Tensor


@dataclass(frozen=True, slots=True)
class Totals:
    """What losses come to under each of several assignments.

    Their sum, that of their shares, how many they are, and of how many rows. A number that is not finite says nothing.
    """

    sums: Numbers
    shares: Numbers
    counts: Numbers
    rows: Numbers

    @classmethod
    def of_numbers(cls, numbers: Numbers) -> Totals:
        """Those of losses that are one number each."""
        ones = np.ones_like(numbers)
        return cls(numbers, ones, ones, ones)

    def reduced(self, reduction: str) -> Numbers:
        """The losses by a plain reduction; NaN where they are not reduced and no single number."""
        if reduction == "mean":
            return self.sums / self.shares
        if reduction == "batchmean":
            return self.sums / self.rows
        return self.sums if reduction == "sum" else np.where(self.counts == 1, self.sums, np.nan)


class Stacked(ABC):
    """A formula that can be looked at under many assignments at once."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor, params: Params) -> Terms:
        """The losses, as those of any formula."""

    @abstractmethod
    def totals(self, prediction: Tensor, target: Tensor, assignments: Sequence[Params]) -> Totals | None:
        """What the losses come to under each assignment, up to the order of a sum; None where that cannot be had."""


def totals_of(
    formula: Formula, prediction: Tensor, target: Tensor, assignments: Sequence[Params]
) -> Totals | None:
    """What the losses of a formula come to under each assignment; None for one that is only evaluated by itself."""
    return formula.totals(prediction, target, assignments) if isinstance(formula, Stacked) else None


@dataclass(frozen=True, slots=True)
class Given(Stacked):
    """A formula with other parameters than those that it is given."""

    formula: Formula
    change: Callable[[Params], Params]

    def __call__(self, prediction: Tensor, target: Tensor, params: Params) -> Terms:
        """The losses."""
        return self.formula(prediction, target, self.change(params))

    def totals(self, prediction: Tensor, target: Tensor, assignments: Sequence[Params]) -> Totals | None:
        """What the losses come to."""
        return totals_of(self.formula, prediction, target, [self.change(params) for params in assignments])


Formula = Callable[["Tensor", "Tensor", Params], Terms]
Reducer = Callable[[Terms, "Tensor"], "Tensor"]
Glance = Callable[[Totals, "Tensor", Sequence[Params]], Totals]
RoundedFormula = Callable[["Tensor", "Tensor", Params, float], Terms]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a formula, and how to recognise it in somebody else's class.

    ``neutral`` gives the plain loss back. ``aliases`` are names that mean the same, the surest first;
    ``complements`` are names of 1 minus the value (``confidence`` for ``label_smoothing``), ``inverses``
    of 1 divided by it, or of the logarithm of that (``logit_scale`` for a temperature), ``logarithms`` of the logarithms
    of numbers for each class. ``guesses`` are values
    worth trying when none is in sight. A number outside ``low`` .. ``high`` is not this parameter. A ``form`` is a
    choice between published forms, which the report names, and a ``slope`` one that the gradient alone shows; a number that is only believed if it is ``declared`` is
    looked for under its names alone; a number that ``divides`` makes rounding larger where it is small (a temperature),
    one of ``power`` 2 where it is large, by its square; one that is ``meant`` is the declared one or none, so that a
    loss that ignores it is wrong; a ``matrix`` is one row of features for each class.
    """

    name: str
    neutral: Any
    kind: ParameterKind = "number"
    aliases: tuple[str, ...] = ()
    complements: tuple[str, ...] = ()
    guesses: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    divides: bool = False
    inverses: tuple[str, ...] = ()
    logarithms: tuple[str, ...] = ()
    meant: bool = False
    power: int = 1


@dataclass(frozen=True, slots=True)
class ReferenceSpec:
    """One published formula.

    Args:
        name: How ``--reference`` calls it.
        summary: The formula in one line, in the usual notation.
        source: Where it is published.
        spaces: Names of the input spaces on which it is defined, the usual one first.
        formula: The formula, at the dtype of the prediction, exact at the ends of the domain.
        parameters: Its parameters.
        reductions: The reductions that exist for it, the default first.
        laws: Laws of the family that hold for it by definition (see ``checks/laws.py``).
        target_profiles: The target profiles on which it is defined; None for all of its spaces' profiles.
        code: Builds a torch expression of ``prediction`` and ``target`` for the repro; None where torch has none.
        kinks: True where value or gradient is not smooth inside the domain.
        only_declared: Reductions that are no more than torch's habit: believed only of a target that names them.
        lacks: Situations that torch's own loss of the family refuses, so that none is asked of another.
        reducers: Reductions that the family does in a way of its own, by name.
        bind: For a function of the user's own, which is called like the target: the formula on one space.
        degree: Degree of the largest intermediate in the inputs: 2 where every form must hold squares of them.
        settled: Whether there is one answer that all right forms give. Where the formula has nothing to say (no negative
            in the batch, no positive for an anchor), authors differ on purpose, and nothing is compared.
        weights: Two numbers in which the loss is linear, each by itself, and which people write into the code: where nothing
            declares them, they are computed from the values. The first is the one that makes a difference of kind.
        essential: Parameters that make it what it is: with one of them at its neutral value it is a plainer loss that
            has a reference of its own, so a target is not recognised as this one.
    """

    name: str
    summary: str
    source: str
    spaces: tuple[str, ...]
    formula: Formula
    parameters: tuple[Parameter, ...] = ()
    reductions: tuple[str, ...] = ("mean", "sum", "none", "batchmean")
    laws: frozenset[str] = frozenset()
    target_profiles: tuple[str, ...] | None = None
    code: Callable[[Params, str], str] | None = None
    kinks: bool = False
    only_declared: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    degree: int = 1
    bind: Callable[[Space], Formula] | None = None
    reducers: Mapping[str, Reducer] = field(default_factory=dict)
    settled: Callable[[Tensor, Tensor], bool] = lambda _, __: True
    essential: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    def is_itself(self, params: Params) -> bool:
        """Whether every essential parameter is plainly away from its neutral value.

        An epsilon of the target, taken for a power or a weight, makes of one reference nothing but another one.
        """
        neutral = self.neutral()
        return all(
            value is not plain and not (numbers <= {int, float} and abs(value - plain) <= NEGLIGIBLE)
            for value, plain in ((params[name], neutral[name]) for name in self.essential)
            for numbers in ({type(value), type(plain)},)
        )

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of this name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def neutral(self) -> dict[str, Any]:
        """The parameters of the plain loss."""
        return {parameter.name: parameter.neutral for parameter in self.parameters}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known way to get a reference wrong: a formula or a reduction that takes its place.

    Exactly one of ``wrong``, ``rounded`` and ``reduce`` is set. ``wrong`` makes a wrong formula of the right one and
    is evaluated in float64. ``rounded`` is evaluated at the dtype of the target, because rounding is the mistake; its
    last argument nudges the intermediate probabilities by -1, 0 or 1 unit of rounding. ``reduce`` takes the place of
    the reduction.

    Args:
        id: Kebab-case identifier, stable.
        references: Names of the references that it distorts; ``("*",)`` for all.
        message: What the target equals, as a sentence after "it"; may name parameters in braces.
        rule: The rule page that explains it.
        codes: The findings under which it shows; the others are its consequences.
        parameters: Further parameters of the wrong form.
        declared: True when it can only be made where the target declares a reduction: undeclared, each is as good.
        convention: True for a published convention that differs from the reference: recognised, never accused,
            unless the user named the reference.
        slight: True for a convention that changes ordinary values by no more than a thousandth: it is tried only on
            variants that come so near, and is no mistake where the user named the reference either.
        coarse: True where authors compute a part of it in float32, whatever the dtype of the loss: the sum of a mask that
            was cast by ``.float()``, and what is added to it. A unit of rounding of float32 is allowed everywhere then.
        deeper: True for one that shows only where steps or pixels stand behind the classes. A loss that is right without these is
            judged with them too if it makes this mistake there; else they are inputs that it is not made for.
        glance: What it makes of the totals of the losses without it, of a prediction and under assignments of its parameters;
            None where that is not known. A reduction makes one number.
        degree: Degree of the largest intermediate in the inputs, where it is greater than that of the reference.
        joint: True where the losses of all samples share something, a divisor say: then cases cannot be evaluated end to end.
        applies: Whether the mistake can be made with these parameters of the reference at all.
    """

    id: str
    references: tuple[str, ...]
    message: str
    rule: str | None = None
    codes: tuple[str, ...] = ("LF101",)
    wrong: Callable[[Formula], Formula] | None = None
    rounded: RoundedFormula | None = None
    reduce: Reducer | None = None
    reductions: tuple[str, ...] | None = None
    parameters: tuple[Parameter, ...] = ()
    declared: bool = False
    convention: bool = False
    slight: bool = False
    coarse: bool = False
    degree: int = 1
    joint: bool = False
    deeper: bool = False
    glance: Glance | None = None
    applies: Callable[[Params], bool] = field(default=lambda _: True)


@dataclass(frozen=True, slots=True)
class Structure:
    """What Hypothesis draws: everything about an input but its numbers.

    ``scale`` is the size of the numbers where the profile has one; ``seed`` fills the tensors; ``features`` is the
    length of an embedding, 0 where there is none.
    """

    batch: int = 4
    classes: int = 3
    features: int = 0
    extra: tuple[int, ...] = ()
    magnitude: str = "ordinary"
    scale: float = 4.0
    targets: str = "random"
    layout: str = "contiguous"
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One argument of losses that take other arguments than a prediction and a target.

    Args:
        name: What the report calls it, a Python identifier.
        aliases: Parameter names that mean it; whole names, or words in them.
        excludes: Parameter names that mean something else of the same shape, so that the space is not the right one.
        learned: True where the loss is differentiated with respect to it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    learned: bool = True


Cut = Callable[["Tensor", "Tensor"], "tuple[Tensor, ...]"]
Pairs = Callable[["Tensor", "Tensor"], "Iterator[tuple[Tensor, Tensor]]"]


@dataclass(frozen=True, slots=True)
class Space:
    """A kind of input: what predictions and targets are, and how tensors of that kind are filled.

    Losses of more arguments (anchor, positive, negative) are no different inside: all that is learned is held in one
    tensor, the prediction [N, ...], and everything else in another, the target [N, ...]; ``cut`` makes the arguments of
    the call of them. So gradients, steps and simplifications reach every argument at once.

    Args:
        name: Identifier, prediction and target joined by a hyphen.
        prediction: What the predictions are, in words.
        target: What the targets are, in words.
        fill: Fills a structure; returns prediction and target in float64 (or int64 for indices).
        magnitudes: Magnitude profiles, the plainest first.
        target_profiles: Target profiles, the plainest first.
        classes: How many classes can be drawn; ``(0,)`` for spaces with no class dimension.
        extras: Shapes that may follow the class dimension.
        free: True when any real number is a valid prediction, so that shrinking may change one by itself.
        plain_rows: For spaces that are not free: rows to put in place of a whole row, the plainest first.
        normal: For predictions that are distributions: the direction that leads out of these, of the same shape. Of the
            slope along it the values of a loss say nothing.
        maps: True for images, which end in height and width.
        part_of: Another space that holds all of this one: it is only asked where that one is closed.
        raw: For log-probabilities: the space of the raw scores that they are, too. A loss of the former takes no notice of that, a
            loss of probabilities need not make sense of scores.
        recodes: Another space of the same predictions, whose targets are these in another coding: who reads one coding
            need not read the other.
        alike: True where prediction and target are of the same kind, so that their order cannot be told from what the
            target takes.
        broadcasts: True where most losses that take it are made for something else, and broadcast it to nonsense: it is tried with
            the other layouts, and counts only for a reference that the target equals there.
        measured: True where targets are any numbers, of which one may stand for what is missing.
        features: How long embeddings can be drawn; ``(0,)`` for spaces with none.
        batches: How many samples are drawn.
        parts: The arguments of the call, where they are not prediction and target.
        cut: Makes them of prediction and target, in the order of ``parts``.
        domain: Whether shrinking may go there; None where every number is valid.
        smaller: Simpler pairs of prediction and target by structure, for spaces whose structure is their own.
        layout: The name of an arrangement of another space's arguments, which its own name begins with; empty for the usual
            one. ``cut`` makes it.
    """

    name: str
    prediction: str
    target: str
    fill: Callable[[Structure, Generator, Params], tuple[Tensor, Tensor]]
    magnitudes: tuple[str, ...]
    target_profiles: tuple[str, ...]
    classes: tuple[int, ...] = (0,)
    extras: tuple[tuple[int, ...], ...] = ((),)
    free: bool = True
    plain_rows: Callable[[int], tuple[tuple[float, ...], ...]] | None = None
    scales: tuple[float, ...] = (4.0,)
    normal: Callable[[Tensor], Tensor] | None = None
    maps: bool = False
    part_of: str = ""
    raw: str = ""
    recodes: str = ""
    alike: bool = False
    broadcasts: bool = False
    measured: bool = False
    features: tuple[int, ...] = (0,)
    batches: tuple[int, ...] = (1, 2, 4)
    parts: tuple[Part, ...] = ()
    cut: Cut = lambda prediction, target: (prediction, target)
    domain: Callable[[Tensor, Tensor], bool] | None = None
    smaller: Pairs | None = None
    layout: str = ""

    @property
    def kind(self) -> str:
        """The name of the space that it is a layout of; its own where it is none."""
        return self.name.removeprefix(f"{self.layout}/")

    @property
    def rearranged(self) -> bool:
        """Whether the arguments of the call are others than what a case holds."""
        return bool(self.parts or self.layout)

    @property
    def probed_extras(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that follow the class dimension in a layout or a map, of which ``()`` stands for the least; else just ``()``.

        Who opens one of these takes steps or pixels, and any number of them.
        """
        return self.extras if self.layout or self.maps else ((),)

    @property
    def words(self) -> str:
        """What it holds, in words."""
        return f"{self.prediction} with {self.target}" if self.target else self.prediction

    @property
    def special(self) -> bool:
        """Whether accepting it proves little: most losses on two tensors also swallow embeddings."""
        return bool(self.parts) or max(self.features) > 0

    @property
    def names(self) -> tuple[str, ...]:
        """What the arguments of the call are named."""
        return tuple(part.name for part in self.parts) if self.parts else ("prediction", "target")

    @property
    def learned(self) -> tuple[bool, ...]:
        """Which of the arguments the loss is differentiated with respect to."""
        return tuple(part.learned for part in self.parts) if self.parts else (True, False)

    def permits(self, structure: Structure) -> bool:
        """Whether the structure can be filled at all."""
        return structure.magnitude in self.magnitudes and structure.targets in self.target_profiles


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One concrete input. The prediction is kept in float64, already rounded to ``dtype``."""

    space: str
    prediction: Tensor
    target: Tensor
    dtype: str
    layout: str
    magnitude: str
    targets: str

    @property
    def size(self) -> int:
        """Number of elements of the prediction, which holds all that is learned."""
        return int(self.prediction.numel())


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the target did with one case.

    ``value`` and ``gradient`` are float64 copies; None when there is none. ``dtype`` is that of the result. ``error`` is
    what the call raised, ``backward_error`` what its backward did.
    """

    value: Tensor | None = None
    gradient: Tensor | None = None
    dtype: str = ""
    error: str | None = None
    error_type: str | None = None
    backward_error: str | None = None
    differentiable: bool = False
    mutated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What the reference says of one case, in float64, and how far a correct loss may be from it."""

    value: Tensor
    gradient: Tensor | None
    value_tolerance: Tensor
    gradient_tolerance: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """A check that failed on a case.

    ``evidence`` is shown. ``independent`` failures are never the consequence of another. ``clear`` is False where the
    difference is small enough to look like rounding to a reader: such a case is only shown if there is no other.
    """

    code: str
    message: str
    case: Case | None
    evidence: dict[str, Any] = field(default_factory=dict)
    independent: bool = False
    clear: bool = True
