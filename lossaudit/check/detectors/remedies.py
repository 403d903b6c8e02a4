"""Requests for fixes that several rules make."""

from __future__ import annotations

from dataclasses import replace

from lossaudit.check.contracts.schema import parse_signature
from lossaudit.check.events import LossCall
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.kinds import Kind
from lossaudit.check.reasoning.forms import LAYOUT, sole, strip
from lossaudit.check.values import Const, External, Site, Tensor, common_kind, constant, tensors

_FRAMEWORKS = ("torch.", "paddle.")
"""Those whose functions and layers for an activation are spelled alike."""
_BUILT_IN = tuple(
    f"{framework}nn.{name}"
    for framework in _FRAMEWORKS
    for name in ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid", "Softmax2d")
)


def is_torch(event: LossCall, frameworks: tuple[str, ...] = _FRAMEWORKS[:1]) -> bool:
    """Whether the loss is one of PyTorch's own."""
    names = event.loss.classes if event.criterion is not None else event.loss.functions
    return bool(names) and all(name.startswith(frameworks) for name in names)


def removal(event: LossCall) -> Remedy | None:
    """The activation of the prediction taken away, if nothing but changes of layout stands between it and the loss."""
    source = _one_source(event)
    if source is None or source.op not in ("softmax", "log_softmax", "sigmoid"):
        return None
    built = () if source.module is None else (source.module.site,)
    if built and not is_built_in(source):
        return None
    return Remedy("remove-activation", (source.site, event.site, *built), _prediction_argument(event))


def _one_source(event: LossCall) -> Tensor | None:
    """What gave the prediction its kind: the same operation, however often a loop before it ran."""
    sources = [unchanged(one) for one in tensors(event.args.get(event.loss.prediction))]
    places = {
        None if one is None else (one.op, one.site, None if one.module is None else one.module.site)
        for one in sources
    }
    return sources[0] if len(places) == 1 else None


def _prediction_argument(event: LossCall) -> tuple[str, str]:
    """Which argument of the call is the prediction: its place and its name."""
    signature = event.loss.signature if event.criterion is None else event.loss.call
    return next(
        (str(place), parameter.spelling)
        for place, parameter in enumerate(parse_signature(signature))
        if parameter.name == event.loss.prediction
    )


_NLL = (
    "torch.nn.CrossEntropyLoss", "torch.nn.NLLLoss", "torch.nn.functional.cross_entropy", "torch.nn.functional.nll_loss",
)  # fmt: skip
_CROSS_ENTROPY = (_NLL[1], _NLL[0], _NLL[3], _NLL[2])
_WITH_LOGITS = (
    "torch.nn.BCELoss", "torch.nn.BCEWithLogitsLoss",
    "torch.nn.functional.binary_cross_entropy", "torch.nn.functional.binary_cross_entropy_with_logits",
)  # fmt: skip


def _other_loss(event: LossCall, names: tuple[str, ...]) -> Remedy | None:
    site = configured(event)
    return None if site is None or not is_torch(event) else Remedy("other-loss", (site,), names)


def configured(event: LossCall) -> Site | None:
    """Where the settings of the loss are: the constructor of a criterion of the framework itself, or the functional call."""
    if event.criterion is None:
        return None if event.preset else event.site
    return event.criterion.site if isinstance(event.criterion.cls, External) else None


def without_second_log_softmax(event: LossCall) -> Remedy | None:
    """One of two log-softmaxes goes: that of the prediction where only the loss sees it, else that of the loss."""
    remove = removal(event)
    smoothing = constant(event.args.get("label_smoothing", Const(0)))
    takes_indices = smoothing == 0 and not all(
        one.dtype.is_float for one in tensors(event.args.get(event.loss.target)) or ()
    )
    is_unsure = not tensors(event.args.get(event.loss.target)) and smoothing == 0
    switch = _other_loss(event, _NLL) if takes_indices or is_unsure else None
    if remove is None:
        return switch
    return replace(
        remove,
        words=(*remove.words, "local"),
        otherwise=replace(switch, otherwise=remove) if switch else remove,
    )


def with_cross_entropy(event: LossCall) -> Remedy | None:
    """The loss that takes raw scores in the place of one that takes their log-softmax."""
    return _other_loss(event, _CROSS_ENTROPY)


def with_logits(event: LossCall) -> Remedy | None:
    """The binary cross-entropy that takes raw scores."""
    return _other_loss(event, _WITH_LOGITS)


def with_logits_of(event: LossCall) -> Remedy | None:
    """The same, where the prediction has a sigmoid that goes."""
    switch, remove = with_logits(event), removal(event)
    kind = common_kind(event.args.get(event.loss.prediction))
    if kind is Kind.SCORE:
        return switch
    return None if switch is None or remove is None else replace(remove, also=switch)


def log_softmax_instead(event: LossCall) -> Remedy | None:
    """The softmax of the prediction becomes a log-softmax."""
    remove = removal(event)
    prediction = sole(event.args.get(event.loss.prediction))
    if remove is None or prediction is None or prediction.source.op != "softmax":
        return None
    return replace(remove, rewrite="log-activation")


def setting(event: LossCall, name: str, value: str) -> Remedy | None:
    """An argument of the loss is given, where its settings are."""
    site = configured(event)
    return None if site is None else Remedy("set-argument", (site,), (name, value))


def told_logits(event: LossCall) -> Remedy | None:
    """The loss is told that it gets raw scores."""
    if "use_softmax" in event.args:
        return no_setting(event, "use_softmax")
    if "from_logits" not in event.args:
        return None
    told = setting(event, "from_logits", "True")
    if event.loss.classes:
        named = Remedy("named-loss", (event.site,), (event.loss.classes[0], "from_logits=True"))
        return named if told is None else replace(told, otherwise=named)
    return told


def untold_logits(event: LossCall) -> Remedy | None:
    """The activation goes; a loss that takes both is told that it gets probabilities."""
    if constant(event.args.get("from_logits")) is True and not is_torch(event, _FRAMEWORKS):
        return setting(event, "from_logits", "False")
    return removal(event)


def no_setting(event: LossCall, name: str) -> Remedy | None:
    """An argument of the loss goes."""
    site = configured(event)
    return None if site is None else Remedy("drop-argument", (site,), (name,))


def dimension(term: Tensor, dim: str) -> Remedy | None:
    """The softmax that made ``term`` gets another dimension."""
    if term.module is None:
        return Remedy("set-dimension", (term.site,), (dim,))
    return Remedy("set-dimension", (term.module.site,), (dim, "module")) if is_built_in(term) else None


def unchanged(value: Tensor) -> Tensor | None:
    """The term that gave ``value`` its kind, if its numbers all arrive as they were."""
    below = strip(value, LAYOUT)
    source = value.source
    return source if below is not None and below.site == source.site and below.op == source.op else None


def is_built_in(term: Tensor) -> bool:
    """Whether the module that made the term is an activation layer of PyTorch itself."""
    module = term.module
    return module is not None and isinstance(module.cls, External) and module.cls.name in _BUILT_IN


def of_logarithm(rewrite: str, logarithm: Tensor, found: tuple[Tensor, ...], *words: str) -> Remedy | None:
    """A logarithm and the one activation that it is of, both by the framework's own operations."""
    term = found[0]
    if (
        len(found) != 1
        or term.op not in ("softmax", "sigmoid")
        or (term.module is not None and not is_built_in(term))
    ):
        return None
    how = ("module",) if term.module is not None else ()
    return Remedy(rewrite, (logarithm.site, term.site), (*words, *how))
