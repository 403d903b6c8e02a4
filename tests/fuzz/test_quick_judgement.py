"""What makes judging quick leaves nothing out: the short ways say what the long ones say."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING

import pytest
import torch
from conftest import FIXTURES
from torch.nn import functional

from lossaudit.fuzz import (
    FuzzOptions,
    batch,
    doors,
    engine,
    inputs,
    trial,
    variants,
    wire,
)
from lossaudit.fuzz.checks import all_checks
from lossaudit.fuzz.mistakes import mistakes_of
from lossaudit.fuzz.model import Structure
from lossaudit.fuzz.recognition import distorted, telling
from lossaudit.fuzz.references import all_references
from lossaudit.fuzz.subject import Interface, Subject, silent
from lossaudit.fuzz.target import Build, builds, load, parse_target
from lossaudit.fuzz.variants import Variant

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from lossaudit.fuzz.model import Case
    from lossaudit.fuzz.trial import Session, Trial

SILENT_ON_AGREEMENT = [check for check in all_checks() if check.only_disagreeing]


def _session(name: str) -> Session:
    made = builds(load(parse_target(f"{FIXTURES / name}")), {})
    return engine._session(*engine._recognise(made, FuzzOptions(), silent, None))


def _trials(session: Session) -> list[Trial]:
    return [
        session.trial(inputs.fill(inputs.space_named(name), structure, {}))
        for name, reach in session.reach.items()
        for structure in inputs.panel(inputs.space_named(name), reach, 0)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "correct/cross_entropy.py:by_gather",
        "correct/segmentation.py:dice_flat",
        "mistakes/binary.py:positives_only",
    ],
)
def test_checks_of_disagreement_are_silent_on_agreement(name: str) -> None:
    agreeing = [trial for trial in _trials(_session(name)) if trial.agrees_everywhere]
    assert len(agreeing) > 20
    assert [check.run(trial) for trial in agreeing for check in SILENT_ON_AGREEMENT] == [None] * (
        len(agreeing) * len(SILENT_ON_AGREEMENT)
    )


def _panel(session: Session) -> list[Case]:
    return [
        case
        for name, reach in session.reach.items()
        for case in inputs.fill_all(
            inputs.space_named(name), inputs.panel(inputs.space_named(name), reach, 0), {}
        )
    ]


@pytest.mark.parametrize(
    "name",
    ["correct/cross_entropy.py:unreduced", "correct/binary.py:Focal", "mistakes/binary.py:positives_only"],
)
def test_bounds_say_what_the_tolerance_says(name: str) -> None:
    session = _session(name)
    cases = _panel(session)
    session.foresee(cases)
    trials = [session.trial(case) for case in cases]
    quick = [session.answers[id(trial.case)].agrees(trial.observed) for trial in trials]
    session.answers.clear()
    assert quick == [trial.agrees_everywhere for trial in trials]
    assert any(quick)
    assert all(quick) is name.startswith("correct")


def test_bounds_hold_no_infinity() -> None:
    numbers = [1.0, math.inf, math.nan, 1.0, 1.0]
    room = [math.inf, 1.0, 1.0, math.nan, 0.5]
    bounds = batch._Bounds(
        torch.tensor(numbers, dtype=torch.float64), torch.tensor(room, dtype=torch.float64), [1] * 5
    )
    for seen, held in (
        (1.5, [True, False, False, False, True]),
        (math.inf, [False] * 5),
        (math.nan, [False] * 5),
    ):
        value = torch.tensor(seen, dtype=torch.float64)
        assert [bounds.hold(number, value) for number in range(5)] == held


@pytest.mark.parametrize(
    "name",
    [
        "correct/cross_entropy.py:by_gather",
        "correct/segmentation.py:SoftmaxDice",
        "correct/binary.py:TorchProbabilities",
        "mistakes/binary.py:positives_only",
    ],
)
def test_a_call_with_nothing_of_ours_in_its_graph_gives_the_same(name: str) -> None:
    session = _session(name)
    for case in _panel(session):
        subject = session.subjects[case.space]
        direct, careful = subject._directly(case, True), subject._observe(case, True, False)
        if direct is None:
            assert careful.error is not None
            continue
        assert (direct.dtype, direct.differentiable, direct.mutated) == (
            careful.dtype,
            careful.differentiable,
            (),
        )
        torch.testing.assert_close(direct.value, careful.value, equal_nan=True)
        torch.testing.assert_close(direct.gradient, careful.gradient, equal_nan=True)


def test_a_loss_that_writes_to_its_prediction_is_called_with_care() -> None:
    def in_place(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (scores.clamp_(min=0.5) - labels).abs().mean()

    def behind_the_back(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        labels.numpy()[:] = 0.25
        return (scores - labels).abs().mean()

    space = inputs.space_named("scores-labels")
    case = inputs.fill(space, Structure(), {})
    for loss, written in ((in_place, "prediction"), (behind_the_back, "target")):
        subject = Subject(Build(loss), Interface(space.name), {}, silent)
        assert subject._directly(case, True) is None
        seen = subject.observe(case)
        assert seen.mutated == (written,)
        assert seen.gradient is not None


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
def test_reductions_that_share_two_sums_are_the_reductions(reduction: str) -> None:
    spec = all_references()["cross_entropy"]
    params = {**spec.neutral(), "weight": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)}
    variant = Variant(spec, params, reduction)
    for rows in (1, 4):
        case = inputs.fill(inputs.space_named("logits-indices"), Structure(batch=rows), {})
        due = variant.value(case.prediction, case.target)
        number = telling._Losses(variant, case).reduced(reduction)
        assert number == (pytest.approx(due.item()) if due.numel() == 1 else None)


@pytest.mark.parametrize("count", [1, trial.FEW_NUMBERS, trial.FEW_NUMBERS + 1])
@pytest.mark.parametrize(
    ("seen", "room", "within"),
    [
        (1.5, 0.5, True),
        (1.51, 0.5, False),
        (math.nan, 1.0, False),
        (math.inf, math.inf, False),
        (1.0, math.inf, True),
        (1.0, math.nan, False),
    ],
)
def test_few_numbers_are_compared_as_many_are(count: int, seen: float, room: float, within: bool) -> None:
    exact = torch.ones(count, dtype=torch.float64)
    last, tolerance = exact.clone(), torch.full_like(exact, room)
    last[-1] = seen
    assert trial._within(last, exact, tolerance, 1.0) is within
    assert trial._within(last[-1], exact[-1], tolerance[-1], 1.0) is within


@pytest.mark.parametrize(
    ("shape", "exact", "is_alike"),
    [
        ((4, 1, 1), (4,), True),
        ((4, 3, 1), (4, 3), True),
        ((), (1,), True),
        ((0,), (0, 3), True),
        ((3,), (1, 3), True),
        ((3,), (3, 1), True),
        ((3,), (1, 3, 1), True),
        ((4,), (2, 2), False),
        ((4, 1), (4,), False),
        ((4, 4), (4,), False),
    ],
)
def test_dimensions_that_are_kept_broadcast_with_the_prediction(
    shape: tuple[int, ...], exact: tuple[int, ...], is_alike: bool
) -> None:
    """But ``[N, 1]`` meets one weight a sample as a table, and is not what ``[N]`` is."""
    assert (variants.like(torch.zeros(shape), torch.zeros(exact)) is not None) is is_alike


def test_blackboard_holds_states_larger_than_its_first_page(tmp_path: Path) -> None:
    board = wire.Blackboard(tmp_path)
    assert wire.read_blackboard(tmp_path) == {}
    for numbers in ([1.0, math.inf], [0.5] * 10000, [2.0]):
        board.write({"stage": "call", "numbers": numbers})
        told = wire.read_blackboard(tmp_path)
        assert (told["stage"], told["numbers"], told["count"]) == ("call", numbers, board.count)
    board.idle()
    assert wire.read_blackboard(tmp_path) == {"stage": wire.IDLE, "count": board.count}


def test_what_a_seed_draws_does_not_rest_on_the_code_that_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypothesis would parse every module of a project, and draw the numbers in it."""
    space = inputs.space_named("logits-indices")
    reach = inputs.Reach(space.classes, space.extras, space.target_profiles, ("float32", "float64"))
    before = [inputs.draw(space, reach, seed, 50) for seed in range(3)]
    numbers = ", ".join(str(number) for number in range(1000, 1200))
    (tmp_path / "full_of_numbers.py").write_text(f"NUMBERS = [{numbers}]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_numbers")
    assert [inputs.draw(space, reach, seed, 50) for seed in range(3)] == before


def test_reductions_and_mistakes_in_them_are_looked_at_with_one_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of thousands of variants, those that share their losses are told apart by numbers alone."""
    made = builds(load(parse_target(f"{FIXTURES / 'correct/segmentation.py:dice_flat'}")), {})
    opened, _ = doors.open_doors(Subject(made[0], Interface(""), {}, silent))
    door = next(door for door in opened if door.space.kind == "scores-masks")
    spec = all_references()["dice_loss"]
    guesses = [{**spec.neutral(), "smooth": smooth} for smooth in (0.0, 1.0, 2.0)]
    plain = [Variant(spec, params, reduction) for params in guesses for reduction in spec.reductions]
    bank = [
        mistake for mistake in mistakes_of(spec.name) if mistake.reduce is not None or not mistake.parameters
    ]
    mistaken = [
        variant
        for mistake in bank
        for variant in distorted.distort(plain, (mistake,), door.evidence, door.classes)
    ]
    one_by_one = [variant for variant in (*plain, *mistaken) if telling.Scales().explains(variant, door)]
    evaluated: list[Variant] = []
    evaluate = Variant.terms

    def counted(self: Variant, *given: object) -> object:
        evaluated.append(self)
        return evaluate(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Variant, "terms", counted)
    monkeypatch.setattr(variants, "reproduces", lambda *_: False)
    monkeypatch.setattr(variants, "equals_plainly", lambda *_: False)
    assert list(telling.Scales().explaining([*plain, *mistaken], door)) == []
    assert len(evaluated) <= len(guesses) * (1 + sum(mistake.reduce is None for mistake in bank)) + len(
        one_by_one
    )
    assert 2 * len(evaluated) < len(plain) + len(mistaken)
    monkeypatch.undo()
    assert list(telling.Scales().explaining([*plain, *mistaken], door)) == one_by_one
    assert one_by_one


def in_float32(logits: Tensor, labels: Tensor) -> Tensor:
    """Whatever it is given, it computes in float32, as models of language are trained."""
    return functional.cross_entropy(logits.float(), labels)


def test_a_loss_in_float32_is_not_judged_in_float64() -> None:
    """Its soft targets make a float64 number of float32 ones, which is as right as float32 is."""
    report = engine.audit("losses:in_float32", [Build(in_float32)], FuzzOptions(), silent)
    assert report.verdict == "conforms"
    assert "float64" not in report.statistics["dtypes"]
    assert any("it computes in no other dtype" in line for line in report.assumptions)


def in_float32_of_unknown_kind(logits: Tensor, labels: Tensor) -> Tensor:
    """The same of a loss that nobody knows."""
    return (logits.float().log_softmax(1).cosh() * functional.one_hot(labels, logits.shape[1])).sum(1).mean()


def test_a_loss_in_float32_that_nobody_knows_is_told_of() -> None:
    report = engine.audit("losses:unknown", [Build(in_float32_of_unknown_kind)], FuzzOptions(), silent)
    assert report.verdict == "conforms"
    assert any("a float64 prediction gives a float32 loss" in line for line in report.assumptions)
