"""Regression tests from findings: a pytest file that needs torch and the user's own module, and nothing of lossaudit.

What the reference says is written into the test as numbers, with the tolerance of the run: the test goes on holding when the
loss is mended, and fails as long as it is not.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossaudit.fuzz.target import package_of, parse_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossaudit.findings import FuzzFinding, TargetReport
    from lossaudit.fuzz.model import Case, Failure
    from lossaudit.fuzz.trial import Session

MARK = "# Written by lossaudit fuzz --write-test."
VALUE_CODES = frozenset({"LF101", "LF103", "LF301", "LF303", "LF505"})
GRADIENT_CODES = frozenset({"LF102", "LF201", "LF203", "LF302"})
HEADER = f'''{MARK} It may be edited; it needs torch and the losses that it tests, nothing else.
"""Each test fails while its loss has the defect that lossaudit found in it, and passes once it is mended."""

import importlib.util
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def load(relative):
    """The module in a file, by its path from here."""
    path = (HERE / relative).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module
'''


def body(session: Session, failure: Failure, case: Case, setup: Sequence[str], call: str) -> str:
    """The lines of one test, from building the loss to the assertion; empty where none can be written.

    Args:
        session: The run.
        failure: What is to be held.
        case: The smallest input.
        setup: Lines that build ``loss``, ``prediction`` and ``target``.
        call: The source of one call.
    """
    lines = _assertion(session, failure, case, call)
    return "\n".join([*setup, *lines]) + "\n" if lines else ""


def _assertion(session: Session, failure: Failure, case: Case, call: str) -> list[str]:
    code = failure.code
    learned = _learned(case)
    if code in VALUE_CODES or code in GRADIENT_CODES:
        return _against_reference(session, failure, case, call)
    if code == "LF202":
        return [
            *learned,
            f"assert {call}.requires_grad, 'the result carries no gradient: nothing is trained'",
        ]
    if code == "LF401":
        return _kept(failure, call)
    if code == "LF402" and "grows" in failure.evidence:
        return _bounded(failure, call)
    if code == "LF402" and "changes" not in failure.evidence:
        return [f"first, second = {call}, {call}", "assert torch.equal(first, second), (first, second)"]
    if code == "LF403":
        return [f"assert {call}.dtype == torch.{case.dtype}"]
    if code in {"LF405", "LF406"}:
        arrays = session.subjects[case.space].interface.arrays
        return [call] if arrays else [*learned, f"value = {call}", "value.sum().backward()"]
    return _law(session, failure, call)


def _bounded(failure: Failure, call: str) -> list[str]:
    """Lines that call as often as the finding took, and look at what grew."""
    name, calls = failure.evidence["grows"], failure.evidence["calls_made"]
    return [
        f"for _ in range({calls}):",
        f"    {call}",
        f"assert len(loss.{name}) < {calls}, 'it grows with every call'",
    ]


def _learned(case: Case) -> list[str]:
    """Lines that ask for the gradients of the arguments that are learned."""
    from lossaudit.fuzz.inputs import space_named

    space = space_named(case.space)
    return [
        f"{name}.requires_grad_()" for name, wanted in zip(space.names, space.learned, strict=True) if wanted
    ]


def _against_reference(session: Session, failure: Failure, case: Case, call: str) -> list[str]:
    """The reference's value or gradient as numbers, and the tolerance of the run."""
    from lossaudit.fuzz import variants
    from lossaudit.fuzz.inputs import space_named

    variant = session.variant
    if variant is None:
        return []
    if "reduction" in failure.evidence:
        variant = replace(variant, reduction=failure.evidence["reduction"])
    if "parameter" in failure.evidence:
        return _neutral(failure, call)
    exact = variants.expected(variant, case, gradient=True)
    if exact.value.ndim and space_named(case.space).layout:
        return []  # its losses lie as its arguments do, those of the reference as the case holds them
    if failure.code in VALUE_CODES:
        shown, room = exact.value, exact.value_tolerance
        lines = [f"value = torch.as_tensor({call}, dtype=torch.float64).detach()"]
        name = "value"
    elif exact.gradient is None or exact.gradient_tolerance is None or space_named(case.space).parts:
        return []  # of several arguments, the gradient is held in one piece
    else:
        shown, room = exact.gradient, exact.gradient_tolerance
        lines = ["prediction.requires_grad_()", f"({call}).sum().backward()"]
        name = "prediction.grad.double()"
    atol = float(room.nan_to_num(nan=0.0, posinf=0.0).max()) if room.numel() else 0.0
    return [
        *lines,
        f"expected = torch.tensor({_source(shown)}, dtype=torch.float64)  # {variant.spec.name}, in float64",
        f"torch.testing.assert_close({name}, expected, rtol=0, atol={atol:.3g}, equal_nan=True)",
    ]


def _source(tensor: Any) -> str:
    """Nested lists of numbers as source."""
    text = repr(tensor.tolist())
    return text.replace("nan", "float('nan')").replace("inf", "float('inf')")


def _neutral(failure: Failure, call: str) -> list[str]:
    expected = failure.evidence["expected"]
    return [
        f"value = torch.as_tensor({call}, dtype=torch.float64).detach()",
        f"expected = torch.tensor({expected!r}, dtype=torch.float64)  # the plain loss",
        "torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)",
    ]


def _kept(failure: Failure, call: str) -> list[str]:
    changed = failure.evidence.get("changed", [])
    if not changed or not set(changed) <= {"prediction", "target"}:
        return []
    return [
        *(f"{name}_before = {name}.clone()" for name in changed),
        call,
        *(f"assert torch.equal({name}, {name}_before), 'the call changes its {name}'" for name in changed),
    ]


def _law(session: Session, failure: Failure, call: str) -> list[str]:
    """The laws of a family, as comparisons of the loss with itself."""
    tolerance = "rtol=1e-4, atol=1e-5"
    if "prediction" not in call:
        return []
    if failure.code == "LF501":
        moved = call.replace("prediction", "(prediction + shift)")
        return [
            "for shift in (2.0, 50.0):",
            f"    torch.testing.assert_close({moved}, {call}, {tolerance})",
        ]
    if failure.code == "LF502":
        turned = call.replace("prediction", "prediction.flip(0)").replace("target", "target.flip(0)")
        return [f"torch.testing.assert_close({turned}, {call}, {tolerance})"]
    if failure.code == "LF503" and session.variant is not None:
        one = call.replace("prediction", "prediction[k : k + 1]").replace("target", "target[k : k + 1]")
        joined = "sum" if session.variant.reduction == "sum" else "mean"
        return [
            f"samples = torch.stack([({one}).reshape(()) for k in range(len(prediction))])",
            f"torch.testing.assert_close(({call}).reshape(()), samples.{joined}(), {tolerance})",
        ]
    return []


def crash_body(setup: Sequence[str]) -> str:
    """A test that a call neither ends, kills nor hangs its process: it runs in one of its own."""
    source = "\n".join(setup)
    return (
        "import subprocess\n"
        f"source = {source!r}\n"
        "done = subprocess.run([sys.executable, '-c', source], timeout=120, capture_output=True, text=True)\n"
        "assert done.returncode == 0, done.stderr\n"
    )


def write(path: Path, reports: Sequence[TargetReport]) -> tuple[int, list[str]]:
    """Write the tests of all findings into one file.

    Args:
        path: Where to; a file that was not written by lossaudit is never overwritten.
        reports: The findings.

    Returns:
        How many tests were written, and the findings for which none could be, as ``target CODE``.

    Raises:
        FileExistsError: The file is somebody else's.
    """
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise FileExistsError(f"{path} exists, and was not written by lossaudit")
    tests: list[str] = []
    left: list[str] = []
    for report in reports:
        for finding in report.findings:
            if finding.test:
                tests.append(_function(path, report.target, finding, len(tests) + 1))
            else:
                left.append(f"{report.target} {finding.code}")
    path.write_text("\n\n".join([HEADER, *tests]), encoding="utf-8")
    return len(tests), left


def _function(path: Path, target: str, finding: FuzzFinding, number: int) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in parse_target(target).attribute).lower()
    lines = [*_fetch(path, target), *finding.test.rstrip().splitlines()]
    inside = "\n".join(f"    {line}" if line else "" for line in lines)
    message = finding.message.replace("\\", "/").replace('"', "'")
    return f'def test_{name}_{finding.code.lower()}_{number}():\n    """{message}."""\n{inside}\n'


def _fetch(path: Path, target: str) -> list[str]:
    """Lines that bind the target's name, by paths from the test's own file."""
    location = parse_target(target)
    head = location.attribute.split(".")[0]
    here = path.resolve().parent
    if not location.is_file:
        folder = os.path.relpath(Path.cwd(), here)
        return [
            f"sys.path.insert(0, str((HERE / {folder!r}).resolve()))",
            f"from {location.module} import {head}",
        ]
    file = Path(location.module)
    if (file.resolve().parent / "__init__.py").exists():
        root, dotted = package_of(file)
        folder = os.path.relpath(root, here)
        return [f"sys.path.insert(0, str((HERE / {folder!r}).resolve()))", f"from {dotted} import {head}"]
    return [f"{head} = load({os.path.relpath(file.resolve(), here)!r}).{head}"]
