"""The shape of the contracts data: what each operation yields and what each loss expects.

A framework is one module that fills these records with literals. Names of transfer rules (``kind``, ``shape``,
``dtype``, ``result``) refer to the functions of :mod:`lossaudit.check.infer.transfer`; nothing in here is code.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

REQUIRED = object()
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a signature; ``star`` is ``""``, ``"*"`` or ``"**"``.

    ``name`` is what transfer rules and detectors call it, ``spelling`` what the framework calls it.
    """

    name: str
    default: object = REQUIRED
    keyword_only: bool = False
    star: Literal["", "*", "**"] = ""
    spelling: str = ""


@cache
def parse_signature(text: str) -> tuple[Parameter, ...]:
    """Read ``"input, dim=None, *, dtype=None"``.

    ``"x: input, axis: dim=-1"`` gives the framework's own spelling first and after the colon the name by which the
    transfer rules know the parameter.
    """
    function = ast.parse(f"def f({text}): pass").body[0]
    assert isinstance(function, ast.FunctionDef)  # noqa: S101 (it was written as one above)
    spec = function.args
    plain = [*spec.posonlyargs, *spec.args]
    defaults: list[object] = [REQUIRED] * (len(plain) - len(spec.defaults))
    defaults += [ast.literal_eval(default) for default in spec.defaults]
    out = [
        Parameter(_role(arg), default, spelling=arg.arg) for arg, default in zip(plain, defaults, strict=True)
    ]
    if spec.vararg is not None:
        out.append(Parameter(_role(spec.vararg), star="*", spelling=spec.vararg.arg))
    for arg, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        default = REQUIRED if value is None else ast.literal_eval(value)
        out.append(Parameter(_role(arg), default, keyword_only=True, spelling=arg.arg))
    if spec.kwarg is not None:
        out.append(Parameter(spec.kwarg.arg, star="**", spelling=spec.kwarg.arg))
    return tuple(out)


def _role(arg: ast.arg) -> str:
    return arg.annotation.id if isinstance(arg.annotation, ast.Name) else arg.arg


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on tensors, under one canonical name however it is spelled.

    ``where`` lists the places that offer it under its own name: the letters are keys of
    :attr:`Framework.places`, and ``m`` is a method of the tensor. ``also`` lists further dotted spellings and
    ``methods`` further method names. A method whose name ends in an underscore is the in-place form of the one without.
    ``activation`` is (parameter, namespace): that parameter holds an activation which is applied to the result, a
    callable or the name of one in the namespace. ``fields`` says, where ``result`` is ``record``, which operation each
    attribute of the result is. ``home`` names the framework if what the rules advise in PyTorch's words does not hold in it.
    """

    name: str
    signature: str = "input"
    kind: str = "unknown"
    shape: str = "unknown"
    dtype: str = "same"
    result: str = "tensor"
    where: str = "tm"
    also: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    detaches: bool = False
    activation: tuple[str, str] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A module whose call is the operation ``op``, with the constructor's arguments bound by name as well."""

    names: tuple[str, ...]
    init: str
    op: str
    call: str = "input"


@dataclass(frozen=True, slots=True)
class When:
    """If ``parameter`` is ``value``, the fields in ``changes`` of the loss are these instead.

    ``also`` holds further pairs of parameter and value that must hold as well.
    """

    parameter: str
    value: object
    changes: tuple[tuple[str, Any], ...]
    also: tuple[tuple[str, object], ...] = ()

    @property
    def conditions(self) -> tuple[tuple[str, object], ...]:
        """Every pair of parameter and value that must hold."""
        return ((self.parameter, self.value), *self.also)


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss, as a class, as a function, or both.

    ``expects`` says what the prediction must be: ``logits`` (the loss applies log-softmax), ``log_probabilities``,
    ``probabilities`` (over classes), ``binary_logits`` (the loss applies a sigmoid), ``binary_probabilities``, ``log_input`` (the
    logarithm of a distribution, as Kullback-Leibler wants it), or nothing in particular. ``target`` and ``prediction``
    name the arguments; ``target_expects`` is ``class_indices``, ``binary``, ``distribution`` or nothing in particular.
    ``when`` says what an argument such as ``from_logits`` changes; where it is not known, what it decides is left open.
    An argument in the role of ``class_dim`` overrides the field of that name. ``home`` is as that of an operation.
    """

    name: str
    classes: tuple[str, ...] = ()
    init: str = ""
    functions: tuple[str, ...] = ()
    signature: str = "input, target, reduction='mean'"
    call: str = "input, target"
    expects: str = ""
    target_expects: str = ""
    prediction: str = "input"
    target: str = "target"
    applies: str = ""
    class_dim: int | None = None
    symmetric: bool = False
    when: tuple[When, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A method of a model that brings it together with its loss: ``model.compile(optimizer, loss)``.

    ``owner`` is the class, ``argument`` the parameter of ``signature`` that holds the loss; a text there is a name in the
    namespace ``names``. The loss is called with the target first. A model that defines a method in ``unless`` trains itself.
    """

    owner: str
    method: str
    signature: str
    argument: str
    names: str
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runner:
    """A method that runs a module on what it is handed beside the parameters: ``model.apply(variables, x)``.

    ``signature`` binds the call: ``args`` and the open keywords go to the module; ``method`` names another of its methods than
    the one that a call runs; with ``mutable`` the state comes back beside the result.
    """

    owner: str
    method: str
    signature: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A class of samples that a loader makes batches of; ``signature`` binds its constructor.

    ``holds`` says what a sample is: one row of each of the ``tensors``, a sample of ``dataset`` or of one of the ``datasets``, or
    ``labelled``: something and the number of its class, unless ``target_transform`` changes that; or only what a subclass says.
    """

    names: tuple[str, ...]
    signature: str
    holds: Literal["tensors", "dataset", "datasets", "labelled", ""]


@dataclass(frozen=True, slots=True)
class Framework:
    """Everything that the engine knows about one framework or library."""

    name: str
    roots: tuple[str, ...]
    requires: tuple[str, ...] = ()
    """Other frameworks (modules of this package) on whose records this one builds."""
    places: tuple[tuple[str, str], ...] = ()
    """Letter -> dotted prefix, for :attr:`Op.where`."""
    prefixes: tuple[tuple[str, str], ...] = ()
    """Prefixes that are other names of a place: ``torch.nn.modules.loss.`` is ``torch.nn.``."""
    ops: tuple[Op, ...] = ()
    layers: tuple[Layer, ...] = ()
    losses: tuple[Loss, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    """Attribute of a tensor -> the operation that it is."""
    constants: tuple[tuple[str, str | int | float], ...] = ()
    """Dotted name -> the constant that it holds."""
    builders: tuple[str, ...] = ()
    """Class methods that build an object of their class: ``from_pretrained``."""
    record_bases: tuple[str, ...] = ()
    """Bases whose subclasses take their annotated fields as constructor arguments, as data classes do."""
    tensor_types: tuple[str, ...] = ()
    module_bases: tuple[tuple[str, str], ...] = ()
    """Base class -> the method that runs when an instance is called."""
    gradients_by_hand: tuple[str, ...] = ()
    """Bases whose subclasses state the gradient of their ``forward`` themselves."""
    training_steps: tuple[tuple[str, str], ...] = ()
    """(base class, method): what this method returns is back-propagated by the framework."""
    objectives: tuple[tuple[str, str], ...] = ()
    """(base class, method): what this method is handed goes into the loss that the framework back-propagates."""
    containers: tuple[tuple[str, str], ...] = ()
    """Class -> ``sequential``, ``list``, ``dict``, or ``graph`` (built from its symbolic ``outputs``)."""
    pairings: tuple[Pairing, ...] = ()
    runners: tuple[Runner, ...] = ()
    record_builders: tuple[tuple[str, str], ...] = ()
    """(class, class method): builds an object that has the keywords of the call as its attributes."""
    keepers: tuple[str, ...] = ()
    """Methods (``class.method``) that return the object anew, with other parameters: the same for our purposes."""
    derivatives: tuple[tuple[str, str], ...] = ()
    """A function that turns an objective into a function of its own -> ``gradient`` or ``value_and_gradient``, what that returns."""
    transparent_methods: tuple[str, ...] = ()
    """Methods of a module that return the module itself."""
    refusals: tuple[tuple[str, str, str], ...] = ()
    """(function, signature, parameter): raises where that argument holds a zero."""
    wrappers: tuple[str, ...] = ()
    """Callables that return their first argument, wrapped: the same for our purposes."""
    callers: tuple[tuple[str, str], ...] = ()
    """(function, signature): calls its ``function`` with ``args``, and with the keywords that the signature does not name."""
    preparers: tuple[str, ...] = ()
    """Methods (``class.method``) that return their arguments, wrapped."""
    contexts: tuple[tuple[str, str], ...] = ()
    """Context managers and decorators -> ``no_grad``, ``autocast`` or ``grad_if`` (the first argument decides)."""
    own_methods: tuple[str, ...] = ()
    """Methods that tensors have and arrays, data frames and lists do not: calling one proves a tensor."""
    autocast_half: tuple[str, ...] = ()
    """Operations that compute in the lower precision inside a region of mixed precision."""
    autocast_full: tuple[str, ...] = ()
    """Operations that such a region computes in float32."""
    loaders: tuple[tuple[str, str], ...] = ()
    """(class, signature of its constructor): yields batches when iterated."""
    datasets: tuple[Dataset, ...] = ()
    splitters: tuple[tuple[str, str, str], ...] = ()
    """(function, signature, class): makes a list of objects of the class, each a part of the ``dataset``, one for each of the ``lengths``."""
    factories: tuple[tuple[str, str], ...] = ()
    """Function -> the class of the object that it makes."""
    results: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(``class.method``, parts): returns a tuple of plain scalars (``int``, ``float``, ``bool``, ``str``) and of what is not known ("")."""
    distributions: tuple[tuple[str, str], ...] = ()
    """(class, signature of its constructor): a distribution over the classes that lie along the last dimension of ``probs`` or ``logits``."""
    samplers: tuple[str, ...] = ()
    """Classes that give a loader the indices of samples one by one; any other may give it those of whole batches."""
    vocabulary: tuple[str, ...] = field(default=())
    """Further words that make a file worth parsing, beside the names of losses and activations."""
