"""Sequences of log-probabilities against shorter sequences of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Part, Space
from lossaudit.fuzz.spaces import fill

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Params, Structure

STEPS, LABELS = 5, 2
LENGTH_NAMES = ("target_lengths", "label_lengths", "target_length", "targets_len", "y_lengths")
LOG_PROBABILITIES = Part("log_probs", ("log_probs", "logprobs", "log_probabilities", "logp", "x"))
TARGETS = Part("targets", ("targets", "target", "labels", "y", "text"), learned=False)
INPUT_LENGTHS = Part(
    "input_lengths", ("input_lengths", "input_length", "logit_lengths", "x_lengths"), learned=False
)
TARGET_LENGTHS = Part("target_lengths", LENGTH_NAMES, learned=False)


def _sequences(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
    """Scores [N, T, C]; labels that are no blank, then the length of the input and that of the labels, [N, S + 2]."""
    scores = fill.ordinary((structure.batch, STEPS, structure.classes), generator)
    if structure.magnitude == "large":
        scores = scores * structure.scale
    labels = torch.randint(max(structure.classes - 1, 1), (structure.batch, LABELS), generator=generator)
    labels += labels >= params.get("blank", 0)
    steps = torch.randint(STEPS - 1, STEPS + 1, (structure.batch, 1), generator=generator)
    counts = torch.randint(1, LABELS + 1, (structure.batch, 1), generator=generator)
    # The longest input is as long as the tensor, and so are the longest labels.
    steps[0], counts[0] = STEPS, LABELS
    if structure.targets == "too long":
        steps[structure.batch // 2 :] = 1
        counts[structure.batch // 2 :] = LABELS
    return scores, torch.cat([labels, steps, counts], 1)


def _arguments(prediction: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """The scores become log-probabilities here: the gradient of a CTC loss is that of what lies before log-softmax."""
    return prediction.log_softmax(2).transpose(0, 1), target[:, :-2], target[:, -2], target[:, -1]


SPACES = (
    Space(
        name="sequences-labels",
        prediction="log-probabilities [T, N, C]",
        target="labels [N, S], lengths of the inputs [N] and of the labels [N]",
        fill=_sequences,
        magnitudes=("ordinary", "large"),
        target_profiles=("random", "too long"),
        classes=(3, 4),
        scales=(4.0, 16.0),
        parts=(LOG_PROBABILITIES, TARGETS, INPUT_LENGTHS, TARGET_LENGTHS),
        cut=_arguments,
    ),
)
