"""What it takes to prove a fix by running it in the framework that the code is written for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_fixes_proofs import MANY, Loss, executed, fixed, samples, value_and_gradient

Result = tuple[torch.Tensor, torch.Tensor]
Runner = Callable[[dict[str, Any], torch.Tensor, torch.Tensor], Result]
"""From what a program defines, raw scores and targets to the loss and its gradient."""

os.environ.setdefault("KERAS_BACKEND", "tensorflow" if find_spec("tensorflow") else "torch")


@dataclass(frozen=True)
class Proof:
    """A wrong program whose fix is promised.

    Attributes:
        code: The rule.
        source: The program. It defines ``loss(z, y)``, or whatever its runner reads.
        shape: That of the raw scores.
        target: The targets.
        reference: The loss that an unsafe fix must give, in PyTorch; None for a safe one, which keeps value and gradient.
    """

    code: str
    source: str
    shape: tuple[int, ...]
    target: torch.Tensor
    reference: Loss | None = None

    def __str__(self) -> str:
        return f"{self.code}-{self.source.strip().splitlines()[-1].strip()[:70]}"


def of_body(header: str, code: str, body: str, target: torch.Tensor, reference: Loss | None = None) -> Proof:
    """The proof for a loss of which the body is given. Scores have the shape of the targets, but where these are classes."""
    shape = tuple(target.shape) if target.is_floating_point() else MANY
    return Proof(code, f"{header}def loss(z, y):\n    {body}\n", shape, target, reference)


def needs(*packages: str) -> list[pytest.MarkDecorator]:
    """The marks of a module whose tests run in ``packages``: what these warn of while they are imported is their own business."""
    missing = [name for name in packages if find_spec(name) is None]
    reason = f"not installed: {', '.join(missing)}; `make test-frameworks` installs them and runs this"
    return [
        pytest.mark.skipif(bool(missing), reason=reason),
        pytest.mark.filterwarnings("ignore"),
    ]


def prove(
    proof: Proof,
    run: Runner,
    folder: Path,
    *,
    at_zero: bool = True,
    rescued: bool = False,
    rtol: float = 1e-5,
) -> None:
    """Fix the program, and run both: it was wrong and now equals the reference, or it keeps value and gradient.

    Args:
        proof: What to prove.
        run: Runs a program.
        folder: Where the program is written.
        at_zero: Whether scores of zero are tried too, where a framework's own kernel may have another one-sided slope.
        rescued: Whether the framework is known to notice the mistake itself, to warn, and to compute what was meant.
        rtol: How far value and gradient may be off, relatively.
    """
    after = executed(fixed(folder, proof.code, proof.source, unsafe=proof.reference is not None))
    before = executed(proof.source)
    is_wrong = False
    for scores in samples(proof.shape)[: None if at_zero else -1]:
        found, given = (run(program, scores, proof.target) for program in (after, before))
        wanted = given
        if proof.reference is not None:
            wanted = value_and_gradient(proof.reference, scores, proof.target)  # type: ignore[assignment]
            is_wrong = is_wrong or not torch.allclose(given[1], wanted[1], rtol=1e-3)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=rtol, atol=rtol / 100)
    assert is_wrong == (proof.reference is not None and not rescued), (
        "what the program gave before it was fixed"
    )


def assert_finite(proof: Proof, run: Runner, folder: Path) -> None:
    """What a safe fix is for: the mended program does not underflow where the other did."""
    after = executed(fixed(folder, proof.code, proof.source, unsafe=False))
    extreme = 1e4 * samples(proof.shape)[0]
    assert all(torch.isfinite(one).all() for one in run(after, extreme, proof.target))


def as_tensor(array: object) -> torch.Tensor:
    """An array of any framework as a tensor in float64."""
    return torch.from_numpy(np.array(array, dtype=np.float64))
