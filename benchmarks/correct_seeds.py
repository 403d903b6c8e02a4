"""Every right loss of the fixtures, over many seeds, in all dtypes: none may be accused.

    python -m benchmarks.correct_seeds                          # every form, fifty seeds: more than an hour on one core
    python -m benchmarks.correct_seeds --seeds 8 pairs boxes    # all forms of two files
    python -m benchmarks.correct_seeds regression:by_formula    # one form

Prints a line for each form as it ends, and the sums. The exit code is 1 where a form was accused of anything, was not
recognised, or did not run in the dtypes in which it gives numbers. How long a run takes decides nothing: examples are counted,
not seconds. A form is recognised once (recognition does not depend on the seed); its inputs are drawn anew with each seed.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lossaudit.fuzz import FuzzOptions
from lossaudit.fuzz.engine import audit_seeds
from lossaudit.fuzz.target import builds, load, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossaudit.findings import TargetReport

FORMS = Path(__file__).resolve().parents[1] / "fixtures" / "fuzz" / "correct"
EXAMPLES = 8
"""How many structures are drawn besides the panel, which holds every profile, layout and dtype."""
UNLIMITED = 1e9
WIDE = ["float32", "float64"]
DTYPES = ["bfloat16", "float16", *WIDE]
NARROW = {
    "CenterByMask": ["bfloat16", *WIDE],
    "supcon_single_view": ["bfloat16", *WIDE],
    "in_numpy": WIDE,
    "dice_in_float32": ["bfloat16", "float16", "float32"],
    "TorchMultiLabelMargin": WIDE,
    "TorchMultiMargin": WIDE,
    "ByModule": WIDE,
    "lengths_first": WIDE,
    "mean_over_batch": WIDE,
}
"""Forms that are judged in some dtypes only, and in which: torch has no kernel there, the form overflows in half, or gives of
float64 what float32 gives."""
ROUGH_IN_HALF = frozenset({"CosineByTorch", "SupCon", "nt_xent_by_sums"})
"""They square embeddings, subtract a maximum that is not among what is summed, or subtract from a sum the largest of what it
adds: some seeds find that in float16, and it is true."""


@dataclass(frozen=True, slots=True)
class Form:
    """A right loss of a fixture file."""

    path: Path
    name: str

    @property
    def id(self) -> str:
        """How it is named here: the file's stem and its name."""
        return f"{self.path.stem}:{self.name}"


@dataclass(slots=True)
class Outcome:
    """What many seeds showed of one form.

    ``objections`` has a line for each seed with which something was wrong; ``rough`` counts the seeds that showed what is
    known and true of the form in float16.
    """

    reference: str = "-"
    dtypes: tuple[str, ...] = ()
    seeds: int = 0
    evaluations: int = 0
    rough: int = 0
    objections: list[str] = field(default_factory=list)


def forms(asked: Sequence[str] = ()) -> list[Form]:
    """The public losses of the fixtures, in the order asked for; all, where nothing is."""
    found = [Form(path, name) for path in sorted(FORMS.glob("*.py")) for name in _losses(path)]
    if not asked:
        return found
    known = {form.id for form in found} | {form.path.stem for form in found}
    if unknown := [name for name in asked if name not in known]:
        raise SystemExit(f"no such form: {', '.join(unknown)}")
    return list(dict.fromkeys(form for name in asked for form in found if name in {form.id, form.path.stem}))


def _losses(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name


def run(form: Form, seeds: Sequence[int]) -> Outcome:
    """Fuzz one form with each seed, in this process."""
    outcome = Outcome()
    target, options = f"{form.path}:{form.name}", FuzzOptions(max_examples=EXAMPLES, max_time=UNLIMITED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a broadcast, and of kl_div's mean
        built = builds(load(parse_target(target)), {})
        reports = audit_seeds(target, built, options, seeds)
        for seed, report in zip(seeds, reports, strict=True):
            outcome.seeds += 1
            outcome.evaluations += int(report.statistics.get("examples", 0))
            outcome.reference = "-" if report.reference is None else report.reference.name
            outcome.dtypes = tuple(report.statistics.get("dtypes", ()))
            if _rough(form, report):
                outcome.rough += 1
            else:
                outcome.objections += [f"seed {seed}: {said}" for said in objections(form, report)]
    return outcome


def _rough(form: Form, report: TargetReport) -> bool:
    return form.name in ROUGH_IN_HALF and [
        (found.code, found.counterexample["dtype"]) for found in report.findings
    ] == [("LF303", "float16")]


def objections(form: Form, report: TargetReport) -> Iterator[str]:
    """What a report says against a right loss."""
    for finding in report.findings:
        yield f"{finding.code} {finding.message} on {finding.counterexample}"
    if report.error is not None:
        yield report.error
    elif report.reference is None:
        yield "not recognised"
    elif (ran := report.statistics["dtypes"]) != (due := NARROW.get(form.name, DTYPES)):
        yield f"ran in {', '.join(ran)} instead of {', '.join(due)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each form, and the sums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("forms", nargs="*", metavar="FILE[:NAME]", help="which forms; all by default")
    parser.add_argument("--seeds", type=int, default=50, metavar="N", help="seeds 0 to N-1")
    options = parser.parse_args(arguments)
    outcomes = []
    for form in forms(options.forms):
        started = time.process_time()
        outcome = run(form, range(options.seeds))
        outcomes.append(outcome)
        _tell(form, outcome, time.process_time() - started)
    accused = sum(bool(outcome.objections) for outcome in outcomes)
    print(
        f"{len(outcomes)} forms of {len(Counter(outcome.reference for outcome in outcomes))} references, "
        f"{sum(outcome.seeds for outcome in outcomes)} runs, "
        f"{sum(outcome.seeds * len(outcome.dtypes) for outcome in outcomes)} runs x dtypes, "
        f"{sum(outcome.evaluations for outcome in outcomes)} evaluations: "
        f"{accused} forms with objections, {sum(outcome.rough for outcome in outcomes)} runs rough in half"
    )
    return 1 if accused else 0


def _tell(form: Form, outcome: Outcome, seconds: float) -> None:
    verdict = f"{len(outcome.objections)} OBJECTIONS" if outcome.objections else "conforms"
    rough = f", rough in half with {outcome.rough}" if outcome.rough else ""
    print(
        f"{form.id}: {outcome.reference}, {outcome.seeds} seeds x {len(outcome.dtypes)} dtypes, "
        f"{outcome.evaluations} evaluations, {seconds:.0f} s: {verdict}{rough}",
        flush=True,
    )
    for objection in outcome.objections:
        print(f"    {objection}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
