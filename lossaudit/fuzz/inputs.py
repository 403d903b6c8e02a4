"""From structures to tensors: Hypothesis draws the structure and few numbers, the space fills the tensors."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.fuzz import TargetError
from lossaudit.fuzz.model import Case, Structure
from lossaudit.fuzz.spaces import all_spaces
from lossaudit.fuzz.subject import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hypothesis.strategies import SearchStrategy
    from torch import Tensor

    from lossaudit.fuzz.model import Params, Space

EXTREME = frozenset({"right", "wrong", "large"})
HALF = frozenset({"float16", "bfloat16"})
HALF_SCALE = 8.0
FILLINGS = 12
"""How many times a structure that was drawn is filled: numbers cost a tenth of drawing."""
SEED_STEP = 7919
MOST_NAMED = 3
"""How many kinds of input are named where a target takes many."""
CONSTANTS = "_maybe_draw_constant"
"""What Hypothesis calls, each time that it draws, for a number of the code."""
FEW_CLASSES = 10
"""Where there are more classes than this, a batch larger than the small ones is none of their counts."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The inputs of one space that a target is known to take."""

    classes: tuple[int, ...]
    extras: tuple[tuple[int, ...], ...] = ((),)
    targets: tuple[str, ...] = ("random",)
    dtypes: tuple[str, ...] = ("float32",)
    layouts: tuple[str, ...] = ("contiguous",)
    batches: tuple[int, ...] = (1, 2, 4)
    features: tuple[int, ...] = (0,)


def fill(space: Space, structure: Structure, params: Params) -> Case:
    """The tensors of one structure. The prediction is rounded to the dtype, so that every judge sees the same."""
    return fill_all(space, [structure], params)[0]


def fill_all(space: Space, structures: Iterable[Structure], params: Params) -> list[Case]:
    """The same of many, one after the other; they are rounded together."""
    wanted, generator = list(structures), torch.Generator()
    drawn = [space.fill(structure, generator.manual_seed(structure.seed), params) for structure in wanted]
    dtypes = [structure.dtype for structure in wanted]
    predictions = _rounded([prediction for prediction, _ in drawn], dtypes)
    targets = _rounded([target for _, target in drawn], dtypes)
    return [
        Case(
            space=space.name,
            prediction=prediction,
            target=target,
            dtype=structure.dtype,
            layout=structure.layout,
            magnitude=structure.magnitude,
            targets=structure.targets,
        )
        for structure, prediction, target in zip(wanted, predictions, targets, strict=True)
    ]


def _rounded(tensors: Sequence[Tensor], dtypes: Sequence[str]) -> list[Tensor]:
    """Tensors [N, ...] in float64 as their dtypes hold them; indices stay as they are. Most are held exactly."""
    rounded = list(tensors)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, (tensor, dtype) in enumerate(zip(tensors, dtypes, strict=True)):
        if tensor.is_floating_point():
            groups.setdefault((dtype, tensor.shape[1:]), []).append(place)
    for (dtype, _), places in groups.items():
        exact = torch.cat([tensors[place] for place in places])
        held = exact.to(DTYPES[dtype]).double()
        if not torch.equal(exact, held):
            parts = torch.split(held, [len(tensors[place]) for place in places])
            for place, part in zip(places, parts, strict=True):
                rounded[place] = part
    return rounded


@lru_cache(maxsize=1024)
def probe(space: Space, structure: Structure) -> Case:
    """The case of a structure for recognition, which asks the same of many interfaces: the very same tensors each time."""
    return fill(space, structure, {})


def revive(raw: Mapping[str, Any]) -> Case:
    """The case that :func:`lossaudit.fuzz.report.raw` has written down.

    Raises:
        TargetError: It was written by a lossaudit that knew other kinds of input.
    """
    try:
        shapes = [tuple(shape) for shape in raw["shapes"]]
        prediction = torch.tensor(raw["prediction"], dtype=torch.float64).reshape(shapes[0])
        integers = torch.int64 if raw["integers"] else torch.float64
        target = torch.tensor(raw["target"], dtype=integers).reshape(shapes[1])
        space_named(raw["space"])
        return Case(
            raw["space"], prediction, target, raw["dtype"], raw["layout"], raw["magnitude"], raw["targets"]
        )
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise TargetError(
            "the kept input cannot be understood", "remove it and run the fuzzer again"
        ) from None


def structures(space: Space, reach: Reach) -> SearchStrategy[Structure]:
    """The structures of a space within a target's reach; every choice shrinks towards the plainest."""
    from hypothesis import strategies as st

    def settle(structure: Structure) -> Structure:
        """Half precision holds no extreme magnitudes: what it cannot hold is no fault of the loss."""
        if structure.dtype in HALF:
            return replace(structure, scale=min(structure.scale, HALF_SCALE))
        return structure

    return st.builds(
        Structure,
        batch=st.sampled_from(reach.batches),
        classes=st.sampled_from(reach.classes),
        features=st.sampled_from(reach.features),
        extra=st.sampled_from(reach.extras),
        magnitude=st.sampled_from(space.magnitudes),
        scale=st.sampled_from(space.scales),
        targets=st.sampled_from(reach.targets),
        layout=st.sampled_from(reach.layouts),
        dtype=st.sampled_from(reach.dtypes),
        seed=st.integers(0, 2**16),
    ).map(settle)


def panel(space: Space, reach: Reach, seed: int) -> Iterator[Structure]:
    """The inputs that every run must see: each profile once, at every scale that it has."""
    classes = reach.classes[len(reach.classes) // 2]
    base = Structure(
        batch=4, classes=classes, features=reach.features[0], targets=reach.targets[0], seed=seed
    )
    for number, (magnitude, targets) in enumerate(itertools.product(space.magnitudes, reach.targets)):
        scales = space.scales if magnitude in EXTREME else space.scales[:1]
        for scale in scales if targets == reach.targets[0] else scales[::3]:
            yield replace(base, magnitude=magnitude, targets=targets, scale=scale, seed=seed + number)
    for batch, extra, count in itertools.product(reach.batches, reach.extras, reach.classes):
        yield replace(base, batch=batch, extra=extra, classes=count, targets=reach.targets[0])
    for features in reach.features[1:]:
        yield replace(base, features=features)
    for dtype, layout in itertools.product(reach.dtypes, reach.layouts):
        yield replace(base, dtype=dtype, layout=layout, targets=reach.targets[0])
        if dtype not in HALF:
            for scale in space.scales if dtype == "float64" else ():
                yield replace(base, dtype=dtype, layout=layout, magnitude="wrong", scale=scale)


def draw(space: Space, reach: Reach, seed: int, count: int) -> list[Structure]:
    """Structures from Hypothesis, each with several fillings; the same for the same seed."""
    import hypothesis

    drawn: list[Structure] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(structures(space, reach))
    def collect(structure: Structure) -> None:
        drawn.append(structure)

    with _numbers_of_code_left_out():
        collect()
    return [
        replace(structure, seed=structure.seed + SEED_STEP * filling)
        for structure in drawn
        for filling in range(FILLINGS)
    ]


@contextlib.contextmanager
def _numbers_of_code_left_out() -> Iterator[None]:
    """Keep Hypothesis from drawing numbers that stand in the modules which are imported.

    What a seed draws would rest on code that is not judged, and each of these modules would be parsed: half a second in a
    project of a hundred.
    """
    draws = _class_that_draws()
    found = getattr(draws, CONSTANTS, None)
    if found is None:
        yield
        return
    setattr(draws, CONSTANTS, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(draws, CONSTANTS, found)


def _class_that_draws() -> object:
    """What makes the numbers of Hypothesis; None in one that knows no such place."""
    try:
        from hypothesis.internal.conjecture.providers import HypothesisProvider
    except ImportError:
        return None
    return HypothesisProvider


def probe_structures(
    classes: tuple[int, ...],
    targets: str,
    features: tuple[int, ...] = (0,),
    extras: tuple[tuple[int, ...], ...] = ((),),
) -> list[Structure]:
    """A handful of plain inputs of several shapes, for recognition."""
    shapes = ((0, 0), (3, 1), (2, 2), (1, 0), (5, 1), (2, 0))
    if max(classes) and max(
        features
    ):  # embeddings with classes: two of each of two, or there is nothing to compare
        shapes = ((0, 0), (6, 1), (4, 2), (1, 0), (5, 1), (8, 0))
    # The first decides whether the target takes such inputs at all: its batch is no class count, lest broadcasting
    # makes sense of what is none, and no larger than it must be: a thousand classes are a thousand numbers in each row.
    return [
        Structure(
            batch=batch or min(classes[0], FEW_CLASSES) + 2,
            classes=classes[pick % len(classes)],
            features=features[pick % len(features)],
            extra=extras[pick % len(extras)],
            targets=targets,
            seed=100 + number,
        )
        for number, (batch, pick) in enumerate(shapes)
    ]


def space_named(name: str) -> Space:
    """The space of this name."""
    return all_spaces()[name]


def words_for(spaces: Iterable[Space]) -> str:
    """What a target takes, in words: the first few kinds of input where there are many."""
    words = list(dict.fromkeys(space.words for space in spaces))
    more = len(words) - MOST_NAMED
    if more > 1:
        words = [*words[:MOST_NAMED], f"{more} other kinds of input"]
    return ", or ".join(words)
