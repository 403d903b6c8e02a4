"""Loss evaluations (forward and backward) a second, side by side with a bare loop of the same calls.

Each round measures, one after the other on one thread: a bare loop (the target called on the very tensors of the run, then
its backward), and the judged run (inputs filled and announced, target observed, reference evaluated in float64 and at the
dtype, every check asked). There every evaluation of the loss is one judged case, forward and backward; fillings of one structure share a
call where the run joins them. Processor time is measured, so
that other work on the machine does not count. The medians and their ratio are printed; so are, of a whole run from recognition to
verdict, the share that recognition takes and all evaluations of the loss a second, those of the rarer checks among them.

    python benchmarks/fuzz_throughput.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossaudit.fuzz.model import Case

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lossaudit.fuzz import FuzzOptions, engine, inputs  # noqa: E402
from lossaudit.fuzz.child import Announcer  # noqa: E402
from lossaudit.fuzz.subject import silent  # noqa: E402
from lossaudit.fuzz.target import Build  # noqa: E402
from lossaudit.fuzz.wire import Blackboard  # noqa: E402


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy as people write it."""
    return -functional.log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).mean()


def bce(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy as people write it."""
    return (functional.softplus(scores) - scores * labels).mean()


def focal(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sigmoid focal loss with the published parameters."""
    losses = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    missed = -torch.expm1(-losses)
    return (torch.where(labels > 0.5, 0.25, 0.75) * missed**2 * losses).mean()


def main() -> None:
    """Print a line for each loss."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, median of {rounds} interleaved rounds, processor time")
    print(
        f"{'loss':<16}{'judged/s':>10}{'bare/s':>10}{'ratio':>8}{'recognition':>13}{'run, s':>9}{'evals/s':>10}"
    )
    for loss in (cross_entropy, bce, focal):
        print(_row(loss, rounds))


def _row(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], rounds: int) -> str:
    bare, judged = [], []
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(loss, FuzzOptions(), Path(folder))
        run.judged()  # first calls pay for what is loaded lazily
        for _ in range(rounds):
            bare.append(run.bare())
            judged.append(run.judged())
        recognition, whole, evaluations = run.whole()
    fast, slow = statistics.median(bare), statistics.median(judged)
    shares = f"{recognition / whole:>12.0%} {whole:>9.2f}{evaluations / whole:>10.0f}"
    return f"{loss.__name__:<16}{slow:>10.0f}{fast:>10.0f}{fast / slow:>8.2f}{shares}"


class _Run:
    """One target: recognised once, then run again and again."""

    def __init__(
        self,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        options: FuzzOptions,
        folder: Path,
    ) -> None:
        self.loss, self.options = loss, options
        announce = Announcer(Blackboard(folder), ())  # as in the child: each input is written down
        recognition, subjects = engine._recognise([Build(loss)], options, announce, None)  # noqa: SLF001
        self.session = engine._session(recognition, subjects)  # noqa: SLF001
        self.plan = {
            name: [
                *inputs.panel(inputs.space_named(name), reach, options.seed),
                *inputs.draw(inputs.space_named(name), reach, options.seed, options.max_examples),
            ]
            for name, reach in self.session.reach.items()
        }
        self.cases = [case for name in self.plan for case in self._filled(name)]

    def _filled(self, name: str) -> list[Case]:
        return inputs.fill_all(inputs.space_named(name), self.plan[name], {})

    def bare(self) -> float:
        """Evaluations a second of nothing but the calls."""
        tensors = [
            (
                case.prediction.to(getattr(torch, case.dtype)),
                case.target.to(getattr(torch, case.dtype))
                if case.target.is_floating_point()
                else case.target,
            )
            for case in self.cases
        ]
        started = time.process_time()
        for prediction, target in tensors:
            leaf = prediction.requires_grad_()
            torch.autograd.grad(self.loss(leaf, target).sum(), leaf)
        return len(tensors) / (time.process_time() - started)

    def judged(self) -> float:
        """Evaluations a second of the run itself; structures are drawn beforehand, and the rarer checks left out."""
        self.session.answers.clear()
        explored = engine.Explored(budget={"few": 0, "once": 0})
        started = time.process_time()
        for name, structures in self.plan.items():
            engine._run_all(self.session, name, structures, explored, math.inf)  # noqa: SLF001
        return len(explored.trials) / (time.process_time() - started)

    def whole(self) -> tuple[float, float, int]:
        """Seconds of recognition and of a whole audit, imports excepted, and how often that evaluated the loss."""
        started = time.process_time()
        engine._recognise([Build(self.loss)], self.options, silent, None)  # noqa: SLF001
        recognition = time.process_time() - started
        started = time.process_time()
        report = engine.audit("benchmark:loss", [Build(self.loss)], self.options)
        return recognition, time.process_time() - started, report.statistics["examples"]


if __name__ == "__main__":
    main()
