"""LA501, LA502, LA504: what is back-propagated, and does not reach what is to be trained."""

from __future__ import annotations

from collections.abc import Iterator

from lossaudit.check.detectors import Hit, detector
from lossaudit.check.events import AttrAssign, Backward, LoopDone, OpEvent
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.gradients import (
    first_cuts,
    held_layers,
    is_computed_from,
    is_cut,
    obstacles,
    summands,
)
from lossaudit.check.reasoning.terms import LIMIT, reads_layers, unknown_leaves, weighted_terms
from lossaudit.check.reasoning.trace import stepping_loop
from lossaudit.check.values import (
    UNKNOWN,
    Site,
    Step,
    Tensor,
    Unknown,
    Value,
    alternatives,
    constant,
    operands,
    tensors,
    walk_terms,
)

# LA501, LA502, LA504: what is back-propagated and not connected ------------------------------------------------------


@detector("LA501", Backward)
def detached_loss(event: Backward) -> Iterator[Hit]:
    """No gradient of what is back-propagated, or of one of its terms, can get past a cut."""
    if "inference" in event.contexts:
        return
    found = obstacles(event.value)
    if found.open:
        yield from _decoration(event)
        return
    cuts = [] if found.decides else first_cuts(found.cuts)
    if cuts and not any(_is_flagged_result(cut) for cut in cuts):
        others = tuple(Step(cut.site, "another cut") for cut in cuts[1:])
        steps = _way_to_backward(event, cuts[0])
        yield Hit(
            "LA501",
            cuts[0].site,
            f"{_cut_words(cuts[0])} cuts the loss from the predictions: nothing is trained",
            (*others, *steps),
            _KEEP_HISTORY,
        )


@detector("LA501", LoopDone)
def detached_from_its_optimizer(event: LoopDone) -> Iterator[Hit]:
    """An optimizer steps in every pass, and each way from a loss to the layers that it holds is cut."""
    record = stepping_loop(event.loop)
    if record is None or any(act.kind in ("opaque", "gradient") for act in record[0]):
        return
    acts, optimizers = record
    losses = [act.value or UNKNOWN for act in acts if act.kind == "backward"]
    found = [obstacles(loss, past_layers=True) for loss in losses]
    if any(one.open for one in found):
        return
    reached = {layer for one in found for layer in one.layers}
    for optimizer in optimizers if reached else ():
        own = held_layers(optimizer)
        cuts = [
            cut
            for one in found
            for cut in one.cuts
            if any(id(part.module) in own for part in walk_terms(cut, LIMIT))
        ]
        if cuts and own.isdisjoint(reached):
            cut = min(cuts, key=lambda one: one.site)
            step = next(act for act in acts if act.kind == "step" and act.value is optimizer)
            words = "this optimizer steps in every pass, and no gradient reaches what it holds"
            message = f"{_cut_words(cut)} cuts these layers from every loss of the loop: they are not trained"
            yield Hit("LA501", cut.site, message, (Step(step.site, words),), _CUT_FOR_THE_OTHERS)


_CUT_FOR_THE_OTHERS = (
    "cut where another model is trained, and give the loss of this one the value with its history"
)


_KEEP_HISTORY = "back-propagate the loss itself, and take `.item()` or `.detach()` of it only for logs"
_CUT_WORDS = {
    "detach": "`.detach()` (or `.data`)",
    "tensor": "`torch.tensor()`",
    "variable": "`Variable()`",
    "float_tensor": "a new tensor",
    "long_tensor": "a new tensor",
    "cuda_tensor": "a new tensor",
}


def _cut_words(cut: Tensor) -> str:
    return _CUT_WORDS.get(cut.op, f"`.{cut.op}()`")


def _way_to_backward(event: Backward, cut: Tensor) -> tuple[Step, ...]:
    words = "this value is back-propagated" if event.explicit else "what this returns is back-propagated"
    return (Step(event.site, words),) if event.site != cut.site else ()


def _decoration(event: Backward) -> Iterator[Hit]:
    """A summand without any gradient beside one that has some: it changes the number and nothing else.

    What is cut there and trained by another summand may stand for its value alone. A loss under contract compares: nothing is left of that.
    """
    terms = [term for one in alternatives(event.value) for term in summands(one)]
    judged = [(term, obstacles(term)) for term in terms] if len(terms) > 1 else []
    live = {one.ident for term, found in judged if found.open for one in walk_terms(term, LIMIT)}
    dead = [
        (term, found.cuts) for term, found in judged if not (found.open or found.decides or found.unrecorded)
    ]
    if any(is_cut(term) and _reads(term, live) for term, _ in dead):
        return  # ``shown.detach() - trained.detach() + trained``: the slope of one, the value of another
    for term, every in dead:
        for cut in first_cuts(every)[:1]:
            if term.kind is Kind.LOSS or not _reads(cut, live):
                message = (
                    f"{_cut_words(cut)} cuts this term of the loss from the predictions: it trains nothing"
                )
                yield Hit("LA501", cut.site, message, _way_to_backward(event, cut), _KEEP_HISTORY)


def _reads(cut: Tensor, live: set[int]) -> bool:
    return any(part.ident in live for one in operands(cut) for part in weighted_terms(one))


@detector("LA502", Backward)
def loss_under_no_grad(event: Backward) -> Iterator[Hit]:
    """What is back-propagated was computed where autograd records nothing.

    Where a caller opened the region around the whole step, that call raises; what the step says is right for its other callers.
    """
    if "no_grad" in event.inherited:
        return
    found = obstacles(event.value)
    if found.open or found.decides or first_cuts(found.cuts):
        return
    for term in found.unrecorded:
        made = next((one for one in weighted_terms(term) if one.kind is Kind.LOSS), term)
        if made.kind is Kind.LOSS or reads_layers(made):
            trail = _way_to_backward(event, made)
            message = "this loss is computed under `no_grad` or `inference_mode`, and then back-propagated"
            yield Hit(
                "LA502",
                made.site,
                message,
                trail,
                "compute the loss outside of the region, or under `torch.enable_grad()`",
            )
            return


@detector("LA502", Backward)
def summand_under_no_grad(event: Backward) -> Iterator[Hit]:
    """A loss computed under ``no_grad`` of what another summand trains, and added to that.

    The loss of another model, or of the data, is a constant that may be meant; so is a sum that was itself formed there.
    """
    if event.in_inference or "no_grad" in event.inherited or not isinstance(event.value, Tensor):
        return
    if any(part.unrecorded and part.op in ("add", "sub") for part in weighted_terms(event.value)):
        return
    terms = list(summands(event.value))
    trained = {
        part.ident
        for term in terms
        if not term.unrecorded and obstacles(term).open
        for part in walk_terms(term, LIMIT)
        if part is not term and part.module is not None and not (part.unrecorded or part.detached)
    }
    for term in terms:
        if term.unrecorded and term.kind is Kind.LOSS and is_computed_from(term, trained):
            yield Hit(
                "LA502",
                term.site,
                "this term of the loss is computed under `no_grad` or `inference_mode`: it trains nothing",
                _way_to_backward(event, term),
                "compute it outside of the region; a frozen network is frozen by `requires_grad_(False)`",
            )


@detector("LA504", AttrAssign, needs="loss")
def requires_grad_assigned(event: AttrAssign) -> Iterator[Hit]:
    """``loss.requires_grad = True``."""
    if event.name == "requires_grad" and constant(event.value) is True and _is_connected_loss(event.target):
        yield _flagged(event.site)


@detector("LA504", OpEvent, needs="loss", ops=("requires_grad_", "variable"))
def requires_grad_called(event: OpEvent) -> Iterator[Hit]:
    """``loss.requires_grad_()``, ``Variable(loss, requires_grad=True)``."""
    if _is_flagged_variable(event.term):
        yield _flagged(event.site)


@detector("LA504", Backward)
def requires_grad_before_backward(event: Backward) -> Iterator[Hit]:
    """The flag was set on the very value that is back-propagated, whatever computed it."""
    if event.forced is not None and all(_is_result(one) for one in alternatives(event.value)):
        yield _flagged(event.forced)
    found = obstacles(event.value)
    if "inference" in event.contexts or found.open or found.decides:
        return
    yield from (_flagged(cut.site) for cut in first_cuts(found.cuts) if _is_flagged_result(cut))


def _is_result(value: Value) -> bool:
    """Whether it was computed: no parameter of the function, and no number that was written down."""
    if isinstance(value, Tensor):
        return reads_layers(value) or any(True for _ in unknown_leaves(value))
    return isinstance(value, Unknown) and not value.parameter


def _flagged(site: Site) -> Hit:
    message = (
        "`requires_grad` is set on the loss: that silences the error of `.backward()` and trains nothing"
    )
    return Hit(
        "LA504",
        site,
        message,
        (),
        "find out why the loss is not connected: frozen parameters, or a cut before it",
    )


def _is_flagged_variable(term: Tensor) -> bool:
    return _sets_flag(term) and _is_connected_loss(term.arg("input") or term.arg("data"))


def _is_flagged_result(term: Tensor) -> bool:
    """The same of anything that was computed: it is a loss, for it is back-propagated."""
    operand = term.arg("input") or term.arg("data") or UNKNOWN
    return _sets_flag(term) and all(_is_result(one) for one in alternatives(operand))


def _sets_flag(term: Tensor) -> bool:
    return term.op in ("requires_grad_", "variable") and constant(term.arg("requires_grad")) is True


def _is_connected_loss(value: Value | None) -> bool:
    """A loss on every path, computed where autograd records."""
    options = tensors(value)
    return bool(options) and all(
        not one.unrecorded and any(part.kind is Kind.LOSS for part in weighted_terms(one)) for one in options
    )
