"""Words and source: assumptions, counterexamples, and code that can be pasted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lossaudit.findings import Diagnosis, FuzzFinding
from lossaudit.fuzz import written
from lossaudit.fuzz.inputs import space_named, words_for
from lossaudit.fuzz.recognition.search import Tier
from lossaudit.fuzz.subject import keys_of_single, tensors
from lossaudit.fuzz.target import package_of, parse_target
from lossaudit.fuzz.trial import plain

if TYPE_CHECKING:
    from lossaudit.fuzz import FuzzOptions
    from lossaudit.fuzz.doors import Door
    from lossaudit.fuzz.inputs import Reach
    from lossaudit.fuzz.model import Case, Failure
    from lossaudit.fuzz.recognition.recognise import Recognition
    from lossaudit.fuzz.subject import Interface
    from lossaudit.fuzz.trial import Session
    from lossaudit.fuzz.variants import Variant


SOURCE = frozenset({"prepare", "calls"})
"""Evidence that is source for the repro: lines before the call, and what is called in place of the loss."""


def shown_parameters(variant: Variant) -> dict[str, Any]:
    """The parameters that differ from their neutral values, and the reduction, as JSON values."""
    shown = {
        parameter.name: _json(variant.params[parameter.name])
        for parameter in variant.parameters
        if variant.params.get(parameter.name) is not None
        and parameter.kind not in {"choice", "matrix"}
        and not (
            parameter.kind in {"number", "form", "flag", "slope", "declared"}
            and variant.params[parameter.name] == parameter.neutral
        )
    }
    if variant.reduction != "given":
        shown["reduction"] = variant.reduction
    for convention in variant.conventions:
        shown["convention"] = convention.id
    return shown


def _json(value: Any) -> Any:
    return plain(value) if isinstance(value, torch.Tensor) else value


def reference_words(variant: Variant) -> str:
    """``cross_entropy(label_smoothing=0.1, reduction='mean')``."""
    inside = ", ".join(f"{name}={value!r}" for name, value in shown_parameters(variant).items())
    return f"{variant.spec.name}({inside})"


def recognised_line(session: Session) -> str:
    """What the target was taken for, in one line."""
    if session.variant is None:
        return "no known loss recognised: laws, autograd and contract only"
    return f"judged against {reference_words(session.variant)}"


def assume_build(session: Session, door: Door, alternatives: int) -> None:
    """Say which constructor arguments were assumed."""
    for name, source in door.subject.build.assumed.items():
        choice = " (the first of several that gives a known loss)" if alternatives > 1 else ""
        session.assumptions.append(
            f"its required argument {name} was given as {source}{choice}; say otherwise with --init {name}=..."
        )


HURRIED = "not every known mistake was tried: --max-time was reached; allow more, or name a reference with --reference"


def assume_recognition(session: Session, recognition: Recognition, *, asked: bool) -> None:
    """Say what the target was taken for, and on what evidence; or what the user asked it to be judged against."""
    match = recognition.match
    if recognition.hurried and (match is None or match.tier >= Tier.PARTIAL):
        session.assumptions.append(HURRIED)
    spaces = words_for(space_named(name) for name in session.subjects)
    if match is None:
        session.assumptions.append(
            f"no known loss was recognised; it takes {spaces}; name one with --reference NAME"
        )
        return
    words = reference_words(match.variant)
    shown = (
        ""
        if recognition.precision == "float64"
        else ", as far as float32 shows: it computes in no other dtype"
    )
    ways = {
        Tier.EXACT: f"recognised as {words}: it gives the same values on ordinary inputs{shown}",
        Tier.CONVENTION: f"recognised as {words}: it gives the same values on ordinary inputs{shown}",
        Tier.SCALED: f"recognised as {words}: it gives the same values{shown}",
        Tier.MISTAKE: f"recognised as {words} with a known mistake",
        Tier.PARTIAL: f"the nearest known loss is {words}: it agrees on a part of the inputs, or up to a constant",
        Tier.ASKED: f"judged against {words}, as asked",
    }
    taken = ways[Tier.ASKED] if asked else f"{ways[match.tier]}; say otherwise with --reference NAME"
    session.assumptions.append(taken)
    session.assumptions.append(f"it takes {spaces}")
    for convention in match.variant.conventions:
        session.assumptions.append(f"it {convention.message.format(**match.variant.params)}")
    guard = match.variant.params.get("guard")
    if guard and match.variant.spec.parameter("guard") is not None:
        session.assumptions.append(
            f"its guard of {guard:g} was taken for intended: it bounds the loss, or its slope, where that is infinite"
        )
    if match.door.subject.interface.swapped:
        session.assumptions.append("it takes the target first and the prediction second")
    if space_named(match.door.space.name).parts:
        names = match.door.subject.interface.arranged(match.door.space.names)
        session.assumptions.append(f"its arguments were taken for {', '.join(names)}, in this order")
    if match.door.subject.interface.arrays:
        session.assumptions.append("it is a NumPy loss: values are judged, gradients are not")
    _named_otherwise(session, match.door, match.variant)


def _named_otherwise(session: Session, door: Door, variant: Variant) -> None:
    """A number that is declared under the name of a parameter, and changes nothing, or is another parameter's."""
    numbers = {
        name: value
        for name, value in variant.params.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    for parameter in variant.spec.parameters:
        declared, used = door.evidence.named.get(parameter.name), numbers.get(parameter.name)
        is_number = isinstance(declared, (int, float)) and not isinstance(declared, bool)
        if not is_number or parameter.kind != "number" or declared == used:
            continue
        others = [name for name, value in numbers.items() if value == declared and name != parameter.name]
        if used == parameter.neutral:
            session.assumptions.append(f"its {parameter.name}={declared!r} has no effect on the value")
        elif others:
            session.assumptions.append(
                f"its {parameter.name}={declared!r} is the {others[0]} of {variant.spec.name}"
            )


def assume_reach(session: Session, door: Door, reach: Reach) -> None:
    """Say which inputs were left out."""
    space = door.space
    left = [list(extra) for extra in space.extras if extra and extra not in reach.extras]
    if left and max(space.classes) > 0 and len(left) == len([extra for extra in space.extras if extra]):
        session.assumptions.append(f"inputs with more dimensions than [N, C] were left out ({space.target})")
    if "soft" in space.target_profiles and "soft" not in reach.targets and session.variant is not None:
        defined = session.variant.spec.target_profiles
        if defined is None or "soft" in defined:
            session.assumptions.append(
                f"soft targets were left out: it gives no number for them, or another loss ({space.target})"
            )
        else:
            session.assumptions.append(
                f"soft targets were left out: {session.variant.spec.name} is defined on hard ones"
            )


def assume_no_float64(session: Session) -> None:
    """Say that float64 was left out."""
    session.assumptions.append("float64 was left out: it raises there, or gives no finite value")


def finding(
    session: Session, target: str, options: FuzzOptions, failure: Failure, diagnosis: Diagnosis | None
) -> FuzzFinding:
    """One finding with its counterexample and repro."""
    case = failure.case
    return FuzzFinding(
        code=failure.code,
        message=failure.message,
        diagnosis=diagnosis,
        counterexample={} if case is None else counterexample(case),
        evidence={name: _clean(value) for name, value in failure.evidence.items() if name not in SOURCE},
        repro="" if case is None else repro(session, target, options, failure, case),
        case={} if case is None else raw(case),
        test="" if case is None else _test(session, target, options, failure, case),
    )


def raw(case: Case) -> dict[str, Any]:
    """Everything that is needed to run a case again, as JSON values."""
    return {
        "space": case.space,
        "prediction": case.prediction.tolist(),
        "target": case.target.tolist(),
        "shapes": [list(case.prediction.shape), list(case.target.shape)],
        "integers": not case.target.is_floating_point(),
        "dtype": case.dtype,
        "layout": case.layout,
        "magnitude": case.magnitude,
        "targets": case.targets,
    }


def _clean(value: Any) -> Any:
    """Numbers that JSON can hold."""
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return plain(torch.tensor(value, dtype=torch.float64))
    return value


def counterexample(case: Case) -> dict[str, Any]:
    """The input as plain JSON values, by the names of the arguments."""
    space = space_named(case.space)
    given = space.cut(case.prediction, case.target)
    return {
        **{name: numbers(part) for name, part in zip(space.names, given, strict=True)},
        "dtype": case.dtype,
        "shape": list((given[0] if space.layout else case.prediction).shape),
        "layout": case.layout,
    }


def numbers(tensor: torch.Tensor) -> Any:
    """Exact values: what is pasted must be what was run."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, float) and value == int(value):
            return float(int(value))
        return value

    return clean(tensor.tolist())


def repro(session: Session, target: str, options: FuzzOptions, failure: Failure, case: Case) -> str:
    """Python that shows the disagreement with torch and the user's own loss alone."""
    arrays = session.subjects[case.space].interface.arrays
    lines = ["import torch", *_import_lines(target), *_setup_lines(session, target, failure, case)]
    lines += _call_lines(session, options, failure, case, arrays=arrays)
    return "\n".join(lines) + "\n"


def _setup_lines(session: Session, target: str, failure: Failure, case: Case) -> list[str]:
    """Lines that build the loss and the arguments of the call."""
    interface = session.subjects[case.space].interface
    space = space_named(case.space)
    lines = [f"loss = {_build_source(target, session, failure)}"]
    given = space.cut(case.prediction, case.target)
    for name, part, learned in zip(space.names, given, space.learned, strict=True):
        lines += _tensor_lines(name, part, case, learned=learned, interface=interface)
    return lines


def _test(session: Session, target: str, options: FuzzOptions, failure: Failure, case: Case) -> str:
    """The body of a regression test."""
    interface = session.subjects[case.space].interface
    call = f"loss({_arguments(case, options, interface)}){_place(session, case)}"
    return written.body(session, failure, case, _setup_lines(session, target, failure, case), call)


def _place(session: Session, case: Case) -> str:
    """Where the loss is among what the target returns, as source; nothing where it raises, or takes arrays."""
    subject = session.subjects[case.space]
    if subject.interface.arrays:
        return ""
    try:
        result = subject.invoke(subject.at_dtype(case.dtype), *tensors(case, subject.interface))
    except Exception:  # noqa: BLE001 (user code may raise anything)
        return ""
    return "".join(f"[{key!r}]" for key in keys_of_single(result))


def _arguments(case: Case, options: FuzzOptions, interface: Interface) -> str:
    """The arguments of one call as source."""
    names = space_named(case.space).names
    arranged = interface.arranged([f"{name}.numpy()" if interface.arrays else name for name in names])
    return ", ".join([*arranged, *(f"{name}={value!r}" for name, value in options.call.items())])


def _tensor_lines(
    name: str, part: torch.Tensor, case: Case, *, learned: bool, interface: Interface
) -> list[str]:
    """One argument of the call, in its dtype and layout."""
    integer = not part.is_floating_point() or (interface.integer_labels and not learned)
    dtype = "int64" if integer else case.dtype
    lines = [f"{name} = torch.tensor({numbers(part.long() if integer else part)}, dtype=torch.{dtype})"]
    if not learned:
        return lines
    if case.layout == "transposed" and part.ndim > 1:
        turned = "movedim(1, -1).contiguous().movedim(-1, 1)" if part.ndim > 2 else "t().contiguous().t()"
        lines.append(f"{name} = {name}.{turned}")
    elif case.layout != "contiguous":
        lines.append(f"{name} = torch.stack([{name}, torch.zeros_like({name})], -1).select(-1, 0)")
    return lines


def _call_lines(
    session: Session, options: FuzzOptions, failure: Failure, case: Case, *, arrays: bool
) -> list[str]:
    subject = session.subjects[case.space]
    space = space_named(case.space)
    learned = [name for name, wanted in zip(space.names, space.learned, strict=True) if wanted]
    names = subject.interface.arranged([f"{name}.numpy()" if arrays else name for name in space.names])
    call, place = _arguments(case, options, subject.interface), _place(session, case)
    if failure.code == "LF503":
        one_by_one = ", ".join(_sample(name) for name in names)
        samples = f"[loss({one_by_one}){place} for k in range(len({space.names[0]}))]"
        return [f'print("batch", loss({call}){place}, "samples one by one", {samples})']
    lines = []
    wants_gradient = "actual_gradient" in failure.evidence
    if wants_gradient:
        lines += [f"{name}.requires_grad_()" for name in learned]
    lines += failure.evidence.get("prepare", ())
    lines.append(f"value = {failure.evidence.get('calls', 'loss')}({call}){place}")
    variant = session.variant
    expected = failure.evidence.get("expected")
    if (
        variant is not None
        and variant.spec.code is not None
        and not variant.conventions
        and not space.layout
        and expected is not None
    ):
        reduction = failure.evidence.get("reduction", variant.reduction)
        code = variant.spec.code(variant.params, reduction)
        double = "target.double()" if case.target.is_floating_point() else "target"
        for name in learned if space.parts else ():
            code = re.sub(rf"\b{name}\b", f"{name}.double()", code)
        lines.append(f"expected = {code.replace('TARGET', double)}")
    elif expected is not None:
        lines.append(f"expected = {expected!r}")
    if wants_gradient:
        lines.append("value.sum().backward()")
        lines.append(f"print({', '.join(f'{name}.grad' for name in learned)})")
    shown = ', "expected", expected' if expected is not None else ""
    lines.append(f'print("loss", value{shown})')
    return lines


def _sample(name: str) -> str:
    """One sample of an argument, as a batch of one."""
    plain_name, dot, rest = name.partition(".")
    return f"{plain_name}[k:k + 1]{dot}{rest}"


def _import_lines(target: str) -> list[str]:
    location = parse_target(target)
    head = location.attribute.split(".")[0]
    if not location.is_file:
        return [f"from {location.module} import {head}"]
    path = Path(location.module)
    if (path.resolve().parent / "__init__.py").exists():
        root, dotted = package_of(path)
        return ["import sys", f"sys.path.insert(0, {str(root)!r})", f"from {dotted} import {head}"]
    return [
        "import importlib.util",
        f"spec = importlib.util.spec_from_file_location('target', {location.module!r})",
        "module = importlib.util.module_from_spec(spec)",
        "spec.loader.exec_module(module)",
        f"{head} = module.{head}",
    ]


def _build_source(target: str, session: Session, failure: Failure) -> str:
    build = session.subject.build
    name = parse_target(target).attribute
    arguments = {**dict(build.assumed.items())}
    arguments |= {key: _argument(value) for key, value in build.init.items()}
    if "reduction" in failure.evidence and "reduction" in build.parameters:
        arguments["reduction"] = repr(failure.evidence["reduction"])
    if "parameter" in failure.evidence:
        arguments[failure.evidence["parameter"]] = "0.0"
    inside = ", ".join(f"{key}={value}" for key, value in arguments.items())
    if build.how in {"class", "factory"}:
        return f"{name}({inside})"
    return f"__import__('functools').partial({name}, {inside})" if inside else name


def _argument(value: Any) -> str:
    is_numbers = isinstance(value, list) and value and all(isinstance(item, (int, float)) for item in value)
    return f"torch.tensor({[float(item) for item in value]})" if is_numbers else repr(value)
