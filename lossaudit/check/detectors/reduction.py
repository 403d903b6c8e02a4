"""LA3: reduction and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lossaudit.check import ir
from lossaudit.check.contracts import LossClass, LossFunction, load_contracts
from lossaudit.check.contracts.schema import parse_signature
from lossaudit.check.detectors import Hit, detector
from lossaudit.check.detectors.remedies import is_torch
from lossaudit.check.detectors.results import Part, leaves, mentions, parts, reached, unscaled
from lossaudit.check.detectors.words import loss_label, op_label
from lossaudit.check.events import (
    AttrAssign,
    Backward,
    BaseInit,
    Construct,
    FunctionReturn,
    LossCall,
    Mutation,
    PartialCall,
)
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.infer.transfer import index_items, is_slice, reduced_dims, sequence
from lossaudit.check.kinds import Dtype, Kind
from lossaudit.check.reasoning.forms import sole
from lossaudit.check.reasoning.reductions import NAMES, reduction_of
from lossaudit.check.reasoning.terms import LIMIT
from lossaudit.check.values import (
    BATCH,
    UNKNOWN,
    ClassVal,
    Const,
    External,
    Function,
    Instance,
    Site,
    Step,
    Tensor,
    Unknown,
    Value,
    alternatives,
    common_shape,
    constant,
    integer,
    number,
    operands,
    tensors,
    walk_terms,
)

# LA301: a vector is back-propagated --------------------------------------------------------------------------------

_ELEMENTWISE = (
    "neg",
    "mul",
    "div",
    "add",
    "sub",
    "pow",
    "abs",
    "square",
    "to",
    "float",
    "double",
    "clamp",
    "clone",
    "flatten",
)


@detector("LA301", Backward)
def unreduced_loss_backward(event: Backward) -> Iterator[Hit]:
    """``backward()`` needs one number, and gets one a sample."""
    found = tensors(event.value)
    if not event.explicit or event.gradient is not None or event.in_inference or not found:
        return
    losses = [_unreduced(term) for term in found]
    if all(loss is not None for loss in losses) and losses[0] is not None:
        message = f'`backward()` on a loss with `reduction="none"`: {_loss_name(losses[0])} gives one value a sample'
        yield Hit(
            "LA301",
            event.site,
            message,
            _made_by(losses[0], event.site),
            "reduce it first, for example with `.mean()`",
            Remedy("reduce-before-backward", (event.site,)),
        )


def _unreduced(term: Tensor) -> Tensor | None:
    """The loss without reduction of which ``term`` is still more than one number; None where that is not proven."""
    for one in reached(term, _ELEMENTWISE):
        if one.kind is Kind.LOSS and "reduction" in one.args:
            if reduction_of(one.args) == "none" and not _is_one_sample(one):
                return one
        elif one.op in ("mean", "sum") and (loss := _partly_reduced(one)) is not None:
            return loss
    return None


def _partly_reduced(term: Tensor) -> Tensor | None:
    """The loss, where a reduction over some dimensions leaves one at least: dimension 1 is only there beside a dimension 0."""
    dims = reduced_dims(term.args)
    leaves_some = bool(dims) and min(dims) >= 0 and max(dims) + 1 > len(dims)
    inner = tensors(term.arg("input")) if leaves_some else ()
    return _unreduced(inner[0]) if len(inner) == 1 else None


def _is_one_sample(loss: Tensor) -> bool:
    """Unbatched, or a batch of one that was made in sight: then there is only one number."""
    prediction = next(iter(loss.args.values()), None)
    shape = common_shape(prediction)
    if shape.exact and (
        shape.rank == 0 or shape.dims[0] == 1 or (shape.rank == 1 and loss.op in _OVER_CLASSES)
    ):
        return True
    return any(
        one.op == "unsqueeze" and integer(one.arg("dim")) == 0
        for value in tensors(prediction)
        for one in walk_terms(value)
    )


_OVER_CLASSES = ("cross_entropy", "nll_loss")


# LA302: the mean of a divergence -----------------------------------------------------------------------------------

_BATCHMEAN = 'use `reduction="batchmean"`, which is the divergence'


@detector("LA302", Construct)
def kl_div_built_with_mean(event: Construct) -> Iterator[Hit]:
    """``KLDivLoss`` with its default reduction."""
    instance = event.instance
    is_plain = isinstance(instance.cls, External) or "forward" not in _members(instance.cls)
    is_divergence = isinstance(instance.entry, LossClass) and instance.entry.loss.name == "kl_div"
    if is_divergence and is_plain and reduction_of(instance.bound) == "mean":
        message = '`KLDivLoss` with `reduction="mean"` divides by the number of classes as well'
        fix = _batchmean(event.site) if isinstance(instance.cls, External) else None
        yield Hit("LA302", event.site, message, (), _BATCHMEAN, fix)


def _batchmean(site: Site) -> Remedy:
    return Remedy("set-argument", (site,), ("reduction", '"batchmean"'))


def _members(cls: ClassVal) -> set[str]:
    return {name for base in cls.mro if isinstance(base, ClassVal) for name in base.scope.vars}


@detector("LA302", LossCall)
def kl_div_called_with_mean(event: LossCall) -> Iterator[Hit]:
    """``F.kl_div`` with its default reduction."""
    is_function = event.criterion is None and event.loss.name == "kl_div"
    if is_function and reduction_of(event.args) == "mean" and not event.in_inference:
        message = '`kl_div` with `reduction="mean"` divides by the number of classes as well'
        fix = None if event.preset else _batchmean(event.site)
        yield Hit("LA302", event.site, message, (), _BATCHMEAN, fix)


# LA303: the old arguments ------------------------------------------------------------------------------------------

_OLD = ("size_average", "reduce")


@detector("LA303", Construct)
def criterion_with_deprecated_reduction(event: Construct) -> Iterator[Hit]:
    """``nn.MSELoss(size_average=False)``."""
    instance = event.instance
    if isinstance(instance.cls, External) and isinstance(instance.entry, LossClass):
        yield from _deprecated(event.site, instance.bound, f"`{instance.class_name}`")


@detector("LA303", LossCall)
def loss_with_deprecated_reduction(event: LossCall) -> Iterator[Hit]:
    """``F.mse_loss(a, b, size_average=False)``."""
    if event.criterion is None:
        given = {name: value for name, value in event.args.items() if name not in event.preset}
        yield from _deprecated(event.site, given, loss_label(event))


@detector("LA303", PartialCall)
def partial_with_deprecated_reduction(event: PartialCall) -> Iterator[Hit]:
    """``partial(F.mse_loss, size_average=False)``."""
    if isinstance(event.function, External):
        entry = load_contracts().entries.get(event.function.name)
        if isinstance(entry, (LossClass, LossFunction)):
            yield from _deprecated(event.site, event.keywords, f"`{event.function.name.rpartition('.')[2]}`")


@detector("LA303", BaseInit, needs="loss")
def base_with_deprecated_reduction(event: BaseInit) -> Iterator[Hit]:
    """``super().__init__(weight, reduce=False)`` in a subclass of a loss."""
    entry = load_contracts().entries.get(event.base)
    if isinstance(entry, LossClass):
        names = [parameter.name for parameter in parse_signature(entry.loss.init)]
        given = {**dict(zip(names, event.positional, strict=False)), **event.keywords}
        label = f"`{event.base.rpartition('.')[2]}`"
        for hit in _deprecated(event.site, given, label):
            yield replace(hit, fix=None)  # the settings may come from the arguments of the subclass


def _deprecated(site: Site, args: Mapping[str, Value], label: str) -> Iterator[Hit]:
    old = [name for name in _OLD if _is_given(args.get(name))]
    if not old:
        return
    names = " and ".join(f"`{name}`" for name in old)
    meant = reduction_of(args)
    advice = "write `reduction=` instead" if meant is None else f'write `reduction="{meant}"` instead'
    fix = None if meant is None else Remedy("reduction", (site,), (meant,))
    yield Hit(
        "LA303", site, f"{label} is configured with {names}, which overrides `reduction`", (), advice, fix
    )


def _is_given(value: Value | None) -> bool:
    """A flag, on every path; None is the default, and what is unknown may be None."""
    return value is not None and all(isinstance(constant(one), (bool, int)) for one in alternatives(value))


# LA304: averaged over classes --------------------------------------------------------------------------------------


@detector("LA304", FunctionReturn, needs="here:mean log_softmax | here:mean log")
@detector("LA304", Backward)
def mean_over_classes(event: FunctionReturn | Backward) -> Iterator[Hit]:
    """The cross-entropy of a sample is a sum over the classes; this is their mean."""
    for part in parts(event):
        if part.op != "mean" or any(_may_be_a_count(factor) for factor in part.factors):
            continue
        products = [_soft_cross_entropy(term) for term in part.terms]
        if all(products) and products[0] is not None:
            message = "a cross-entropy with soft targets is averaged over the classes as well: smaller by their number"
            trail = (
                Step(
                    products[0].source.site,
                    f"{op_label(products[0].source)} makes one log-probability a class",
                ),
            )
            yield Hit(
                "LA304",
                part.term.site,
                message,
                trail,
                "sum over the classes first: `.sum(dim=1).mean()`",
                Remedy("sum-over-classes", (part.term.site,), (str(products[0].class_dim),)),
            )


def _may_be_a_count(value: Value) -> bool:
    """A factor that may undo the division: a size, or a whole number above one."""
    whole = integer(value)
    if whole is not None:
        return whole > 1
    return any(isinstance(one, Tensor) and one.op in ("size", "numel") for one in alternatives(value))


def _soft_cross_entropy(mean: Tensor) -> Tensor | None:
    """The log-probabilities, if ``mean`` averages their product with soft targets over all elements or the classes."""
    logs: Tensor | None = None
    for value in tensors(mean.arg("input")):
        term = unscaled(value)
        logs = _soft_product(term) if term.op == "mul" else None
        if logs is None:
            return None
    if logs is None:
        return None
    over_all = constant(mean.arg("dim")) is None
    return logs if over_all or integer(mean.arg("dim")) == logs.class_dim else None


def _soft_product(term: Tensor) -> Tensor | None:
    for one, other in (("input", "other"), ("other", "input")):
        logs = [unscaled(found) for found in tensors(term.arg(one))]
        if logs and all(found.kind is Kind.LOG_PROBABILITY and found.class_dim is not None for found in logs):
            return logs[0] if _are_soft_targets(term.arg(other), logs[0]) else None
    return None


def _are_soft_targets(value: Value | None, logs: Tensor) -> bool:
    """A distribution over classes that is not the prediction's own (that would be an entropy)."""
    if isinstance(value, Unknown):
        return value.is_given
    found = [unscaled(one) for one in tensors(value)]
    return bool(found) and all(_is_distribution(one, logs) for one in found)


def _is_distribution(term: Tensor, logs: Tensor) -> bool:
    inner = term.arg("input")
    if term.op in ("neg", "to", "float", "detach", "clone") and isinstance(inner, Unknown):
        return _are_soft_targets(inner, logs)
    if term.kind is Kind.PROBABILITY:
        return not _same_logits(term, logs)
    return any(one.kind is Kind.ONE_HOT for one in walk_terms(term, 40))


def _same_logits(term: Tensor, logs: Tensor) -> bool:
    """Whether softmax and log-softmax read the same scores."""
    return bool(_softmax_inputs(term) & _softmax_inputs(logs))


def _softmax_inputs(term: Tensor) -> set[int]:
    """The identities of the scores that an activation in ``term`` reads, whatever temperature divides them."""
    activations = (one for one in walk_terms(term, 20) if one.op in ("softmax", "log_softmax"))
    reads = (value for one in activations if (value := one.arg("input")) is not None)
    return {id(_untempered(score)) for value in reads for score in alternatives(value)}


def _untempered(value: Value) -> Value:
    while isinstance(value, Tensor) and value.op in ("mul", "div", "to", "float", "detach"):
        value = value.arg("input") or UNKNOWN
    return value


# LA305: averaged over what the mask left out -----------------------------------------------------------------------


@detector("LA305", FunctionReturn, needs="here:reduced mean")
@detector("LA305", Backward)
def masked_mean(event: FunctionReturn | Backward) -> Iterator[Hit]:
    """A mask sets losses to zero, and the mean counts them all the same."""
    for part in parts(event):
        if part.op != "mean" or any(constant(term.arg("dim")) is not None for term in part.terms):
            continue
        masks = [_masked_loss(term) for term in part.terms]
        if (
            not all(masks)
            or masks[0] is None
            or _is_normalised(part, masks[0])
            or _splits_classes(event, masks[0])
        ):
            continue
        message = "the mean divides by every element, not by those that the mask keeps"
        trail = (Step(masks[0].site, "this mask sets the others to zero"),)
        yield Hit(
            "LA305",
            part.term.site,
            message,
            trail,
            "divide the sum by `mask.sum().clamp(min=1)`",
            _over_mask(part.terms),
        )


def _over_mask(means: Sequence[Tensor]) -> Remedy | None:
    """The mask and the loss must be the two sides of the product that is averaged."""
    product = sole(means[0].arg("input")) if len(means) == 1 else None
    if product is None or product.op != "mul":
        return None
    sides = [
        one
        for one, other in (("input", "other"), ("other", "input"))
        if _mask_for(product.arg(one), product.arg(other))
    ]
    return Remedy("mean-over-mask", (means[0].site,), (sides[0],)) if len(sides) == 1 else None


def _is_normalised(part: Part, mask: Tensor) -> bool:
    """Whether the mean is later divided by the mean of the mask, or scaled by something that holds it."""
    return any(
        mentions(value, mask) or _shares_leaf(value, mask) for value in (*part.divisors, *part.factors)
    )


def _splits_classes(event: FunctionReturn | Backward, mask: Tensor) -> bool:
    """Whether the result holds another decision on the same values: the parts of a loss for each class, say.

    What a loss is given decides nothing: where a target is filled in there, the mask leaves it out.
    """
    own = _root(mask)
    subject = own.arg("input")
    seen = (one for value in tensors(event.value) for one in _around_losses(value) if one.kind is Kind.HARD)
    return any(one.arg("input") is subject and _may_part(own, one) for one in seen)


def _around_losses(term: Tensor) -> Iterator[Tensor]:
    """``term`` and what it was computed from, but not what losses under contract were computed from."""
    stack, seen = [term], set[int]()
    while stack and len(seen) < LIMIT:
        one = stack.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            stack += operands(one) if one.kind is not Kind.LOSS else ()


_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")


def _may_part(mask: Tensor, other: Tensor) -> bool:
    """Whether ``other`` may be about a part that ``mask`` leaves out; a mask of what is not 255 leaves out no 1."""
    if other.op not in _COMPARISONS:
        return False
    left, right = constant(mask.arg("other")), constant(other.arg("other"))
    if (mask.op, other.op) == ("ne", "eq") and NotImplemented not in (left, right):
        return left == right
    return mask.op != other.op or left != right


def _shares_leaf(value: Value, mask: Tensor) -> bool:
    own = {
        id(one)
        for term in walk_terms(mask)
        for one in term.args.values()
        if not isinstance(one, (Const, Tensor))
    }
    return bool((own - {id(UNKNOWN)}) & leaves(value))


def _masked_loss(mean: Tensor) -> Tensor | None:
    """The mask, if ``mean`` averages the product of an unreduced loss and a mask."""
    mask: Tensor | None = None
    for value in tensors(mean.arg("input")):
        term = unscaled(value)
        mask = None
        if term.op == "mul":
            for one, other in (("input", "other"), ("other", "input")):
                mask = mask or _mask_for(term.arg(one), term.arg(other))
        if mask is None:
            return None
    return mask


def _mask_for(value: Value | None, loss: Value | None) -> Tensor | None:
    masks, losses = tensors(value), tensors(loss)
    if not masks or not losses or not all(_is_elementwise_loss(one) for one in losses):
        return None
    return masks[0] if all(_is_data_mask(one) for one in masks) else None


def _is_elementwise_loss(term: Tensor) -> bool:
    """A loss under contract without reduction, or a distance between two tensors, element by element."""
    term = unscaled(term)
    if term.kind is Kind.LOSS:
        return reduction_of(term.args) == "none"
    inner = tensors(term.arg("input"))
    if term.op in ("abs", "square", "pow") and inner:
        return all(unscaled(one).op == "sub" for one in inner)
    if term.op in ("view", "flatten", "squeeze", *_FOLDS) and inner:
        return (term.op not in _FOLDS or bool(reduced_dims(term.args))) and all(
            _is_elementwise_loss(one) for one in inner
        )
    return False


_FOLDS = ("sum", "mean")
"""What makes one loss of several: each position keeps its own as long as dimensions are named."""

_LAYOUT = (
    "view", "view_as", "flatten", "squeeze", "unsqueeze", "expand", "to", "float", "double", "half", "long", "bool", "transpose",
    "permute", "t", "getitem", "contiguous", "device_move", "detach", "clone", "narrow", "select", "repeat_interleave",
    BATCH,
)  # fmt: skip


def _is_data_mask(term: Tensor, depth: int = 0) -> bool:
    """Ones and zeros by which data are marked as real: a comparison of given values, not of anything computed."""
    term = _root(term)
    left, right = term.arg("input"), term.arg("other")
    if term.op == "setitem":
        return _is_written_mask(term)
    if term.op == "logical_and" and depth < _MAX_NESTING:
        return all(_is_data_mask(one, depth + 1) for side in (left, right) for one in tensors(side))
    if term.op == "logical_not" and depth < _MAX_NESTING:
        inner = [_root(one) for one in tensors(left)]
        return bool(inner) and all(_marks_filling(one) or _is_data_mask(one, depth + 1) for one in inner)
    if term.op not in ("ne", "gt", "ge", "lt", "le"):
        return False
    if _is_count_up(left) or _is_count_up(right):
        return term.op != "ne"
    return _is_given_data(left) and (
        _is_plain_limit(term.op, right) or (term.op == "ne" and _is_label(right))
    )


def _is_written_mask(term: Tensor) -> bool:
    """Zeros with ones written at places that were given or drawn, or ones with zeros."""
    filled, written = term, set()
    while filled.op == "setitem" and len(tensors(filled.arg("input"))) == 1:
        written.add(number(filled.arg("value")))
        if not _is_drawn(filled.arg("index")):
            return False
        filled = tensors(filled.arg("input"))[0]
    return any(filled.op in ops and written == {other} for ops, other in _BLANKS)


_BLANKS = ((("zeros", "zeros_like", "new_zeros"), 1.0), (("ones", "ones_like", "new_ones"), 0.0))


def _is_drawn(index: Value | None) -> bool:
    """Places in the data: what a caller gives, or a part of a permutation; not what anything computed decides."""
    if isinstance(index, Tensor) and _root(index).op in ("randint", "arange"):
        return True
    return _is_given_data(index)


_MAX_NESTING = 4


def _marks_filling(term: Tensor) -> bool:
    """``target == ignore``, which is then negated."""
    right = term.arg("other")
    return (
        term.op == "eq"
        and _is_given_data(term.arg("input"))
        and (number(right) is not None or _is_label(right))
    )


def _is_count_up(value: Value | None) -> bool:
    """Positions, which are compared with lengths."""
    found = tensors(value)
    return bool(found) and all(_root(one).op == "arange" for one in found)


def _root(term: Tensor) -> Tensor:
    while term.op in _LAYOUT and len(tensors(term.arg("input"))) == 1:
        term = tensors(term.arg("input"))[0]
    return term


def _is_given_data(value: Value | None) -> bool:
    """What the caller or the loader gives, as it is."""
    if isinstance(value, Unknown):
        return value.is_given
    found = tensors(value)
    return bool(found) and all(
        _root(one).op in _LAYOUT and _is_given_data(_root(one).arg("input")) for one in found
    )


def _is_plain_limit(op: str, value: Value | None) -> bool:
    """``!= ignore``, ``> 0``, ``>= 0``: the limits that tell real values from filling."""
    limit = number(value)
    return (op == "ne" and limit is not None) or (op in ("gt", "ge") and limit is not None and limit <= 0)


def _is_label(value: Value | None) -> bool:
    return isinstance(value, Unknown) and not value.data and value.origin == ""


# LA306: somebody else's criterion ----------------------------------------------------------------------------------


@detector("LA306", AttrAssign, needs="loss | configured")
def mutated_criterion(event: AttrAssign) -> Iterator[Hit]:
    """A loss configures a criterion that it was handed."""
    if not event.handed_in or not _changes_criterion(event) or _is_protocol(event.function):
        return
    if event.function is not None and _is_put_back(event.function, event.name):
        return
    target = event.target
    known = target.argument if isinstance(target, Unknown) else getattr(target, "class_name", "")
    label = known or "criterion"
    message = f"`{label}` was handed in, and its `{event.name}` is changed for everyone who holds it"
    advice = "change a copy (`copy.deepcopy`), or build the criterion here as it is needed"
    yield Hit("LA306", event.site, message, tuple(_way_in(event)), advice)


def _changes_criterion(event: AttrAssign) -> bool:
    """Whether the attribute configures a loss. Of an unknown object only ``reduction`` tells that it is one."""
    target, new = event.target, constant(event.value)
    sets_reduction = event.name == "reduction" and new in NAMES
    if isinstance(target, Instance):
        configured = target.bound.get(event.name)
        is_known = isinstance(target.entry, LossClass) and configured is not None
        if is_known and configured is not None and (sets_reduction or event.name != "reduction"):
            return new is NotImplemented or constant(configured) != new
    return sets_reduction


def _is_protocol(function: Function | None) -> bool:
    """A context manager changes and restores by its contract: a class that is one, or a generator."""
    if function is None:
        return False
    is_generator = isinstance(function.node, ir.FunctionDef) and function.node.is_generator
    return is_generator or function.name in ("__enter__", "__exit__", "__setattr__")


def _is_put_back(function: Function, attribute: str) -> bool:
    """Whether the function keeps what the attribute held, and assigns just that to it in the end."""
    body = function.node.body if isinstance(function.node, ir.FunctionDef) else ()
    assigned = [node for node in ir.statements(body) if isinstance(node, ir.Assign)]
    kept = {
        name.name
        for node in assigned
        if isinstance(node.value, ir.Attribute) and node.value.attr == attribute
        for name in node.targets
        if isinstance(name, ir.Name)
    }
    last = next((node for node in reversed(assigned) if _assigns(node, attribute)), None)
    return last is not None and isinstance(last.value, ir.Name) and last.value.name in kept


def _assigns(node: ir.Assign, attribute: str) -> bool:
    return any(isinstance(target, ir.Attribute) and target.attr == attribute for target in node.targets)


def _way_in(event: AttrAssign) -> Iterator[Step]:
    target, function = event.target, event.function
    if isinstance(target, Instance):
        yield Step(target.site, "the caller built the criterion here")
        return
    owner = (
        function.owner.scope.vars.get("__init__")
        if function is not None and function.owner is not None
        else None
    )
    for one in (function, owner):
        for param in one.node.params if isinstance(one, Function) else ():
            if isinstance(target, Unknown) and param.name == target.argument:
                yield Step(Site(one.module.filename, param.id), f"`{param.name}` comes in here")  # type: ignore[union-attr]
                return


# LA307: in place on an argument ------------------------------------------------------------------------------------


@detector("LA307", FunctionReturn, needs="here:reduced | loss")
def inplace_on_argument(event: FunctionReturn) -> Iterator[Hit]:
    """A loss changes the tensors of its caller."""
    if not event.mutations or event.in_inference or event.function.name.endswith("_") or not _is_loss(event):
        return
    for mutation in event.mutations:
        is_own = any(mutation.argument is parameter for parameter in event.parameters)
        if is_own and _is_tensor_change(mutation, event):
            name = mutation.argument.argument
            message = f"`{mutation.operation}` changes `{name}`, which belongs to the caller"
            advice = f"work on a copy (`{name}.clone()`), or use the form that returns a new tensor"
            yield Hit("LA307", mutation.site, message, (), advice)


def _is_loss(event: FunctionReturn) -> bool:
    """A loss under contract, or a full reduction of something that is no mere decision."""
    for part in parts(event):
        for term in part.terms:
            if term.kind is Kind.LOSS:
                return True
            reads = tensors(term.arg("input"))
            if term.op in ("mean", "sum") and term.shape.rank == 0 and reads:
                return all(one.kind is not Kind.HARD and not one.dtype.is_integral for one in reads)
    return False


def _is_tensor_change(mutation: Mutation, event: FunctionReturn) -> bool:
    """Whether the operation really works in place: on a tensor it does, on a number or a list it is another thing."""
    if mutation.operation.startswith("."):
        return True
    result = mutation.result
    if not isinstance(result, Tensor):
        return False
    if mutation.operation.startswith("["):
        items = index_items(result.arg("index"))
        return any(_selects_elements(item) for item in items) or (
            len(items) > 1 and any(is_slice(item) for item in items)
        )
    if any(term.home for value in tensors(event.value) for term in walk_terms(value)):
        return False  # only PyTorch's tensors have operators in place: elsewhere `x /= y` binds a new tensor
    if mentions(result.arg("other"), mutation.argument):
        return True
    return any(
        _feeds_loss(term, mutation.site) for value in tensors(event.value) for term in walk_terms(value)
    )


def _selects_elements(value: Value) -> bool:
    return any(
        isinstance(one, Tensor) and (one.kind is Kind.HARD or one.dtype is Dtype.BOOL)
        for one in alternatives(value)
    )


def _feeds_loss(term: Tensor, site: Site) -> bool:
    return term.kind is Kind.LOSS and any(one.site == site for one in walk_terms(term))


# LA308: a column against a row -------------------------------------------------------------------------------------

_BROADCASTING = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


@detector("LA308", LossCall)
def broadcast_prediction_target(event: LossCall) -> Iterator[Hit]:
    """``[N, 1]`` and ``[N]`` are compared pair by pair."""
    if event.loss.name not in _BROADCASTING or event.in_inference:
        return
    prediction, target = event.args.get("input"), event.args.get("target")
    if _column_meets_vector(prediction, target):
        yield _broadcast_hit(event.site, loss_label(event), prediction, target)
    elif _column_meets_vector(target, prediction):
        yield _broadcast_hit(event.site, loss_label(event), target, prediction)


def _broadcast_hit(site: Site, where: str, column: Value | None, vector: Value | None) -> Hit:
    message = f"a column `[N, 1]` and a vector `[N]` meet in {where}: they broadcast to `[N, N]`"
    steps = [
        Step(_shaped_at(value), words)
        for value, words in ((column, "this is a column"), (vector, "this is a vector"))
        if tensors(value)
    ]
    trail = tuple(step for step in steps if step.site != site)
    return Hit(
        "LA308",
        site,
        message,
        trail,
        "give both the same shape, for example with `.squeeze(1)` on the column",
    )


def _shaped_at(value: Value | None) -> Site:
    term = tensors(value)[0]
    source = term.source
    is_layer = source.module is not None and term.op not in ("view", "squeeze", "unsqueeze", "flatten")
    return source.module.site if is_layer and source.module is not None else term.site


def _column_meets_vector(column: Value | None, vector: Value | None) -> bool:
    columns, vectors = tensors(column), tensors(vector)
    return bool(columns and vectors) and all(map(_is_column, columns)) and all(map(_is_vector, vectors))


def _is_column(term: Tensor) -> bool:
    """The last of two dimensions has length one. What a layer of width one yields has two: a batch and that one."""
    dims = term.shape.dims
    if not dims or dims[-1] != 1:
        return False
    return len(dims) == 2 if term.shape.exact else len(dims) <= 2 and _is_layer_output(term)


def _is_layer_output(term: Tensor) -> bool:
    return term.kind in (Kind.SCORE, Kind.SIGMOID, Kind.RECTIFIED, Kind.TANH)


_BROADCASTS = ("add", "sub", "mul", "div", "to", "float", "detach", "clone", "device_move")


def _is_vector(term: Tensor) -> bool:
    """One dimension, not of length one; or a column whose second dimension was squeezed away.

    What broadcasts with a vector ends in a dimension that is not of length one either, and so is no column.
    """
    if term.shape.rank is not None:
        return _is_plain_vector(term)
    return any(_is_plain_vector(one) or _is_squeezed_column(one) for one in reached(term, _BROADCASTS))


def _is_plain_vector(term: Tensor) -> bool:
    return term.shape.rank == 1 and term.shape.dims[0] != 1


def _is_squeezed_column(term: Tensor) -> bool:
    inner = tensors(term.arg("input"))
    squeezes = term.op == "squeeze" and integer(term.arg("dim")) in (None, 1, -1)
    return squeezes and bool(inner) and all(_is_column(one) for one in inner)


@detector("LA308", FunctionReturn, needs="here:reduced | loss")
@detector("LA308", Backward)
def broadcast_difference(event: FunctionReturn | Backward) -> Iterator[Hit]:
    """The same by hand: a column minus a vector, then averaged."""
    for part in parts(event):
        if part.op != "sub":
            continue
        left, right = part.operand("input"), part.operand("other")
        for column, vector in ((left, right), (right, left)):
            is_pair = (
                _column_meets_vector(column, vector) and _comes_from_layer(column) and _is_laid_out(vector)
            )
            if is_pair and any(one.op in ("mean", "sum") for one in _around(event, part)):
                yield _broadcast_hit(part.term.site, "a difference", column, vector)


def _around(event: FunctionReturn | Backward, inner: Part) -> list[Tensor]:
    """The terms of the result that hold ``inner``."""
    return [
        term for value in tensors(event.value) for term in walk_terms(value) if mentions(term, inner.term)
    ]


def _comes_from_layer(value: Value | None) -> bool:
    return all(one.source.module is not None and _is_layer_output(one) for one in tensors(value))


def _is_laid_out(value: Value | None) -> bool:
    """Somebody made a vector of it on purpose; an unlabelled rank may be a bias."""
    return all(
        one.op in ("view", "flatten", "squeeze", "tensor", "float_tensor", "long_tensor")
        for one in tensors(value)
    )


# LA309: averaged twice ---------------------------------------------------------------------------------------------


@detector("LA309", FunctionReturn, needs="loss")
@detector("LA309", Backward)
def averaged_twice(event: FunctionReturn | Backward) -> Iterator[Hit]:
    """A mean is divided by the number of what it was taken over."""
    for part in parts(event):
        losses = [unscaled(one) for one in tensors(part.operand("input"))] if part.op == "div" else []
        if not losses or not all(
            one.kind is Kind.LOSS and reduction_of(one.args) == "mean" for one in losses
        ):
            continue
        count = part.operand("other")
        if all(_counts_samples(count, loss) for loss in losses):
            message = f"{_loss_name(losses[0])} is a mean already, and is divided by the number of samples once more"
            trail = _made_by(losses[0], part.term.site)
            yield Hit(
                "LA309",
                part.term.site,
                message,
                trail,
                'drop the division, or use `reduction="sum"`',
                Remedy("drop-division", (part.term.site,)),
            )


def _counts_samples(value: Value, loss: Tensor) -> bool:
    """The size of the batch that the loss read, or how many entries a mask kept of it."""
    found = tensors(value)
    return bool(found) and all(_counts(unscaled(one), loss) for one in found)


def _counts(term: Tensor, loss: Tensor) -> bool:
    inner = term.arg("input")
    if term.op in ("clamp", "clamp_min", "add", "item", "maximum"):
        return isinstance(inner, Tensor) and _counts(unscaled(inner), loss)
    if inner is None:
        return False
    if term.op in ("size", "numel"):
        return (term.op == "numel" or integer(term.arg("dim")) == 0) and _is_of_batch(inner, loss)
    is_mask = isinstance(inner, Unknown) or (isinstance(inner, Tensor) and inner.kind is Kind.HARD)
    return term.op == "sum" and is_mask and constant(term.arg("dim")) is None and mentions(loss, inner)


def _is_of_batch(value: Value, loss: Tensor) -> bool:
    if isinstance(value, Unknown) and value.data and any(_is_loaded(one) for one in loss.args.values()):
        return True
    return mentions(loss, value)


def _is_loaded(value: Value) -> bool:
    return isinstance(value, (Unknown, Tensor)) and value.data


# LA310: a sum beside a mean ----------------------------------------------------------------------------------------


@detector("LA310", FunctionReturn, needs="loss")
@detector("LA310", Backward)
def mixed_reductions(event: FunctionReturn | Backward) -> Iterator[Hit]:
    """One term grows with the batch, the other does not."""
    for part in parts(event):
        if part.op != "add" or len(part.terms) > 1:
            continue
        left, right = _addends(part.operand("input")), _addends(part.operand("other"))
        for some, others in ((left, right), (right, left)):
            mean = next((one for one in some if _is_averaged(one)), None)
            total = next((one for one in others if _is_summed(one)), None)
            is_first = not any(_is_summed(one) for one in some) and not any(
                _is_averaged(one) for one in others
            )
            if mean is not None and total is not None and is_first:
                message = (
                    "a sum over the batch is added to a mean over it: their balance depends on the batch size"
                )
                trail = (
                    Step(mean.site, f"{_term_name(mean)} is a mean"),
                    Step(total.site, f"{_term_name(total)} is a sum"),
                )
                yield Hit(
                    "LA310",
                    part.term.site,
                    message,
                    trail,
                    "reduce both alike: sum over features, average over samples",
                )


def _addends(value: Value) -> list[Tensor]:
    """The terms of a sum, without constant factors; nothing where a path is not known."""
    out: list[Tensor] = []
    stack = [value]
    while stack and len(out) < _MAX_ADDENDS:
        found = tensors(stack.pop())
        if len(found) != 1:
            return []
        term = unscaled(found[0])
        if term.op == "add":
            stack += [one for name in ("other", "input") if (one := term.arg(name)) is not None]
        else:
            out.append(term)
    return out


_MAX_ADDENDS = 40


def _is_averaged(term: Tensor) -> bool:
    return term.kind is Kind.LOSS and reduction_of(term.args) == "mean"


def _is_summed(term: Tensor) -> bool:
    if term.kind is Kind.LOSS:
        return reduction_of(term.args) == "sum" and not _is_about_parameters(term)
    inner = tensors(term.arg("input"))
    is_full = term.op == "sum" and constant(term.arg("dim")) is None
    return is_full and bool(inner) and all(_grows_with_batch(one) for one in inner)


def _is_about_parameters(term: Tensor) -> bool:
    return any(one.op == "parameter" for one in walk_terms(term))


def _grows_with_batch(term: Tensor) -> bool:
    """Made from what a layer computed or a loader gave, or the divergence of a Gaussian posterior from the standard one."""
    if _is_about_parameters(term):
        return False
    return any(_is_sample_wise(one) for one in walk_terms(term)) or _is_gaussian_divergence(term)


def _is_sample_wise(term: Tensor) -> bool:
    return term.data or (
        term.module is not None and term.kind in (Kind.SCORE, Kind.RECTIFIED, Kind.SIGMOID, Kind.TANH)
    )


def _is_gaussian_divergence(term: Tensor) -> bool:
    """``1 + v - m ** 2 - exp(v)``, in any order and with any signs, of values that were handed in."""
    addends = _signed_addends(term)
    exponents = [one.arg("input") for one in addends if isinstance(one, Tensor) and one.op == "exp"]
    squares = [one for one in addends if isinstance(one, Tensor) and one.op in ("pow", "square", "mul")]
    plain = [one for one in addends if isinstance(one, (Unknown, Tensor))]
    return bool(squares) and any(
        value is not UNKNOWN and any(value is one for one in plain)
        for value in exponents
        if value is not None
    )


def _signed_addends(value: Value) -> list[Value]:
    out: list[Value] = []
    stack = [value]
    while stack and len(out) < _MAX_ADDENDS:
        one = stack.pop()
        term = unscaled(one) if isinstance(one, Tensor) else one
        if isinstance(term, Tensor) and term.op in ("add", "sub"):
            stack += [part for name in ("input", "other") if (part := term.arg(name)) is not None]
        else:
            out.append(term)
    return out


# LA311: where the classes are --------------------------------------------------------------------------------------

_KEEPS_PLACES = (
    "dropout", "to", "float", "double", "contiguous", "clone", "device_move", "log_softmax", "softmax", "identity", "mul", "div",
)  # fmt: skip


@detector("LA311", LossCall)
def class_dimension(event: LossCall) -> Iterator[Hit]:
    """The loss reads the classes at dimension 1."""
    found = tensors(event.args.get(event.loss.prediction))
    if event.loss.class_dim != 1 or event.in_inference or not found:
        return
    if all(_has_classes_last(one) for one in found):
        message = f"the classes of the logits are the last dimension, and {loss_label(event)} reads them at dimension 1"
        advice = "move them: `logits.transpose(1, 2)`, or flatten logits and target"
        ranks = {one.shape.rank for one in found}
        words = ("3",) if ranks == {3} else ()
        fix = Remedy("move-classes", (event.site,), words) if is_torch(event) else None
    elif all(_is_dealt_out(one, event) for one in found):
        message = f"`view` does not move the classes to where {loss_label(event)} reads them: it deals the scores out anew"
        advice = "use `transpose` or `permute` before the shape is changed"
        fix = None
    else:
        return
    layer = _layer(found[0])
    trail = (
        (Step(layer.site, f"{op_label(layer)} puts the classes there"),) if layer.site != event.site else ()
    )
    yield Hit("LA311", event.site, message, trail, advice, fix)


def _layer(term: Tensor) -> Tensor:
    return term.source if term.source.op in ("linear", "conv1d", "conv2d", "conv3d") else _through(term)


def _through(term: Tensor) -> Tensor:
    """The term before operations that leave every number where it is."""
    while term.op in _KEEPS_PLACES and len(tensors(term.arg("input"))) == 1:
        term = tensors(term.arg("input"))[0]
    return term


def _has_classes_last(term: Tensor) -> bool:
    """A linear layer over sequences or maps, and nothing moved since."""
    return _through(term).op == "linear" and term.shape.exact and term.shape.least_rank >= 3


def _is_dealt_out(term: Tensor, event: LossCall) -> bool:
    term = _through(term)
    inner = tensors(term.arg("input")) if term.op == "view" else ()
    if len(inner) != 1:
        return False
    source, dims = _through(inner[0]), sequence(term.arg("shape")) or []
    if source.op == "linear":
        return (
            inner[0].shape.exact
            and inner[0].shape.least_rank >= 3
            and len(dims) >= 3
            and integer(dims[-1]) != 1
        )
    if source.op in ("conv2d", "conv3d") and len(dims) == 2:
        width = integer(dims[1])
        is_over_channels = width is not None and source.shape.exact and source.shape.dims[1] == width
        return is_over_channels and _is_flattened(event) and not _is_pooled(source)
    return False


def _is_flattened(event: LossCall) -> bool:
    """The target is flattened too: there is more than one decision a sample."""
    found = tensors(event.args.get(event.loss.target))
    return bool(found) and all(one.op in ("view", "flatten") and one.shape.rank == 1 for one in found)


def _is_pooled(term: Tensor) -> bool:
    """Maps that may have shrunk to a single point."""
    return any(one.op in ("avg_pool", "max_pool", "mean", "amax", "unsqueeze") for one in walk_terms(term))


# Words -------------------------------------------------------------------------------------------------------------


def _loss_name(loss: Tensor) -> str:
    module = loss.module
    return f"`{module.class_name if module is not None and isinstance(module.cls, External) else loss.op}`"


def _term_name(term: Tensor) -> str:
    return _loss_name(term) if term.kind is Kind.LOSS else f"`{term.op}`"


def _made_by(loss: Tensor, here: Site) -> tuple[Step, ...]:
    """Where the loss was computed, and where its criterion was built."""
    steps = [Step(loss.site, "the loss is computed here")]
    if loss.module is not None:
        steps.append(Step(loss.module.site, "the criterion is built here"))
    return tuple(step for step in dict.fromkeys(steps) if step.site != here)
