"""Requests for fixes that several rules make."""

from __future__ import annotations

from lossaudit.check.events import LossCall
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.reasoning.forms import LAYOUT, sole, strip
from lossaudit.check.values import External, Tensor

_FRAMEWORK = "torch."
_BUILT_IN = (
    "torch.nn.Softmax",
    "torch.nn.LogSoftmax",
    "torch.nn.Sigmoid",
    "torch.nn.LogSigmoid",
    "torch.nn.Softmax2d",
)


def is_torch(event: LossCall) -> bool:
    """Whether the loss is one of PyTorch's own: only there are the spellings known that a fix would write."""
    names = event.loss.classes if event.criterion is not None else event.loss.functions
    return bool(names) and all(name.startswith(_FRAMEWORK) for name in names)


def removal(event: LossCall) -> Remedy | None:
    """The activation of the prediction taken away, if nothing but changes of layout stands between it and the loss."""
    prediction = sole(event.args.get(event.loss.prediction))
    source = unchanged(prediction) if prediction is not None and is_torch(event) else None
    if source is None or source.op not in ("softmax", "log_softmax", "sigmoid"):
        return None
    built = () if source.module is None else (source.module.site,)
    if built and not is_built_in(source):
        return None
    return Remedy("remove-activation", (source.site, event.site, *built))


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
