"""Contracts that users declare for their own losses and models: ``[tool.lossaudit.contracts]``."""

from __future__ import annotations

from dataclasses import dataclass

from lossaudit.check.contracts.schema import Framework, Layer, Loss, Op

INPUTS: dict[str, tuple[str, str]] = {
    "logits": ("logits", "a softmax"),
    "probabilities": ("probabilities", ""),
    "log-probabilities": ("log_probabilities", ""),
    "binary-logits": ("binary_logits", "a sigmoid"),
    "binary-probabilities": ("binary_probabilities", ""),
}
"""What a declared loss may expect: the word -> what :class:`Loss` calls it, and what the loss then applies itself."""

YIELDS: dict[str, str] = {
    "logits": "score",
    "softmax": "softmax",
    "log-softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "log-sigmoid": "log_sigmoid",
}
"""What a declared model or function may yield: the word -> the rule of its kind."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The contract of one class or function, under the dotted name by which it is imported.

    A loss has an ``input``, a model or a function ``yields`` something. ``prediction`` is the place of the prediction among a
    loss's arguments, from 0, or the keyword under which it is passed.
    """

    name: str
    input: str = ""
    yields: str = ""
    prediction: int | str = 0

    @property
    def is_class(self) -> bool:
        """Whether it is built before it is called: by Python's convention, a class starts with a capital letter."""
        return self.name.rpartition(".")[2].lstrip("_")[:1].isupper()


def declared_framework(declared: tuple[Declared, ...]) -> Framework:
    """The declarations as one more framework."""
    losses = [one for one in declared if one.input]
    makers = [one for one in declared if one.yields]
    return Framework(
        name="user",
        roots=(),
        losses=tuple(_loss(one) for one in losses),
        ops=tuple(_op(one) for one in makers),
        layers=tuple(Layer((one.name,), _ANY, one.name, _ANY) for one in makers if one.is_class),
        vocabulary=tuple(one.name.rpartition(".")[2] for one in makers),
    )


_ANY = "*args, **kwargs"


def _loss(declared: Declared) -> Loss:
    expects, applies = INPUTS[declared.input]
    names = (declared.name,)
    signature = _signature(declared.prediction)
    return Loss(
        declared.name,
        classes=names if declared.is_class else (),
        init=_ANY,
        functions=() if declared.is_class else names,
        signature=signature,
        call=signature,
        expects=expects,
        applies=applies,
    )


def _signature(prediction: int | str) -> str:
    if isinstance(prediction, str):
        return f"*_args, {prediction}: input, **_kwargs"
    before = [f"_argument{place}" for place in range(prediction)]
    return ", ".join([*before, "input", _ANY])


def _op(declared: Declared) -> Op:
    return Op(declared.name, _ANY, YIELDS[declared.yields], dtype="float", where="", also=(declared.name,))
