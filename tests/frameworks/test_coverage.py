"""No form of a fix in another framework or a loss library goes unproved: what the fixtures show is what is run here."""

from __future__ import annotations

import re
from pathlib import Path

from lossaudit.check.audit import Request, run
from lossaudit.rulebook import load_rules
from tests.frameworks import (
    test_flax,
    test_jax,
    test_keras,
    test_loss_libraries,
    test_paddle,
    test_tensorflow,
)
from tests.frameworks.proofs import Proof
from tests.marks import FIXTURES, projects_below

Form = tuple[str, str, str]
"""A group of frameworks, a rule, and what its fix does."""

GROUPS = {
    "JAX": ("jax", "optax", "flax"),
    "Keras": ("keras", "tensorflow"),
    "Paddle": ("paddle",),
    "libraries": tuple(test_loss_libraries.CASES),
}
PROOFS: dict[str, list[Proof]] = {
    "JAX": [*test_jax.SAFE, *test_jax.UNSAFE, *test_flax.SAFE, *test_flax.UNSAFE],
    "Keras": [*test_keras.MODELS, *test_keras.FUNCTIONS, *test_tensorflow.WRONG, *test_tensorflow.RESCUED],
    "Paddle": [*test_paddle.SAFE, *test_paddle.UNSAFE],
    "libraries": [case.values[0] for case in test_loss_libraries.PROOFS],  # type: ignore[misc]
}
FIXABLE = frozenset(
    code for code, rule in load_rules().items() if code.startswith("LA") and rule.fix != "none"
)
OF_LIBRARIES = ("LA101", "LA105", "LA106")
"""The rules whose fixes know the losses of libraries; what else the fixtures with libraries show concerns PyTorch alone."""


def imported(text: str) -> set[str]:
    packages = set(re.findall(r"^\s*(?:import|from)\s+(\w+)", text, re.MULTILINE))
    return {group for group, names in GROUPS.items() if packages & set(names)}


def forms(path: Path, groups: set[str], codes: frozenset[str]) -> set[Form]:
    findings = run(Request((path,), path if path.is_dir() else path.parent, codes)).findings
    kinds = {(one.code, re.sub(r"Remove.*", "Remove", one.fix.message)) for one in findings if one.fix}
    return {
        (group, code, kind)
        for group in groups
        for code, kind in kinds
        if group != "libraries" or code in OF_LIBRARIES
    }


def test_every_form_of_the_fixtures_is_proved(tmp_path: Path) -> None:
    proved: set[Form] = set()
    for group, proofs in PROOFS.items():
        for number, proof in enumerate(proofs):
            path = tmp_path / f"{group}{number}.py"
            path.write_text(proof.source)
            proved |= forms(path, {group}, frozenset({proof.code}))
    shown: set[Form] = set()
    for folder, depth in (("check", 1), ("programs", 0), ("seeds", 0)):
        for project in projects_below(FIXTURES / folder, depth=depth):
            groups = imported("\n".join(file.read_text(encoding="utf-8") for file in project.files))
            if groups and project.marks("expect"):
                shown |= forms(project.path, groups, FIXABLE)
    assert shown - proved == set()
