"""The inputs of other spaces, with their dimensions arranged as other authors arrange them.

Nothing but the arguments of the call differs: cases are held as in the plain space, and references say the same of them. So
whatever is known of a space holds in each of its layouts. They are tried on targets that are not understood without: the
classes last, as language models have them, each step judged by the next token, a channel of one on one side alone, or no
layout but that of images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch.nn import functional

from lossaudit.fuzz.spaces import binary, classes, masks, quantiles, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from lossaudit.fuzz.model import Cut, Params, Space, Structure


def _as_held(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return prediction, target


def _classes_last(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    rows = target.ndim == prediction.ndim
    return _last(prediction), _last(target) if rows else target


def _last(tensor: Tensor) -> Tensor:
    return tensor.movedim(1, -1).contiguous()


def _shifted(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A step more of each: the scores after the last token, and the first token, which count for nothing."""
    return functional.pad(_last(prediction), (0, 0, 0, 1)), functional.pad(target, (1, 0))


def _score_channel(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return prediction.unsqueeze(1), target


def _as_indices(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return prediction, target.argmax(1)


def _is_one_hot(_: Tensor, target: Tensor) -> bool:
    return bool((target.sum(1) == 1).all() and (target.amax(1) == 1).all())


def _label_channel(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return prediction, target.unsqueeze(1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """An arrangement of the spaces ``of``: what its shapes are in words, and what follows the classes at least.

    ``targets`` is the one target profile of which it can be made, and ``domain`` says which cases are of it; None for all.
    """

    name: str
    of: tuple[Space, ...]
    shapes: tuple[str, str]
    cut: Cut
    extras: tuple[tuple[int, ...], ...]
    labels: tuple[int, ...] | None = None
    targets: str | None = None
    domain: Callable[[Tensor, Tensor], bool] | None = None

    def spaces(self) -> tuple[Space, ...]:
        """The spaces in this layout."""
        return tuple(map(self._arranged, self.of))

    def _arranged(self, space: Space) -> Space:
        least = self.extras[0]

        def fill(structure: Structure, generator: Generator, params: Params) -> tuple[Tensor, Tensor]:
            profile = self.targets or structure.targets
            return space.fill(
                replace(structure, extra=structure.extra or least, targets=profile), generator, params
            )

        def words(text: str, shape: str) -> str:
            return f"{text.partition(' [')[0].partition(', ')[0]} {shape}"

        rows = space.name.endswith("-rows")
        return replace(
            space,
            name=f"{self.name}/{space.name}",
            layout=self.name,
            prediction=words(space.prediction, self.shapes[0]),
            target=words(space.target, self.shapes[0 if rows else 1]),
            fill=fill,
            cut=self.cut,
            target_profiles=space.target_profiles[:1] if self.targets else space.target_profiles,
            domain=self.domain or space.domain,
            classes=self.labels or space.classes,
            extras=((), *self.extras[1:]),
        )


def _named(spaces: tuple[Space, ...], *names: str) -> tuple[Space, ...]:
    return tuple(space for space in spaces if space.name in names)


OF_CLASSES = classes.SPACES
OF_INDICES = tuple(space for space in classes.SPACES if space.name.endswith("-indices"))
OF_TOKENS = _named(classes.SPACES, "logits-indices", "log_probabilities-indices")
OF_CLASS_MASKS = tuple(space for space in masks.SPACES if "-mask-" in space.name)
OF_INDEX_MASKS = tuple(space for space in OF_CLASS_MASKS if space.name.endswith("-indices"))
OF_MASKS = _named(masks.SPACES, "scores-masks", "probabilities-masks")
OF_CHANNELS = _named(masks.SPACES, "scores-channel_masks", "probabilities-channel_masks")
OF_LABELS = binary.SPACES
OF_QUANTILES = quantiles.SPACES
OF_VALUES = _named(values.SPACES, "values-values")
SINGLE = (0,)
STEPS = ((3,), (5,))
IMAGES = ((2, 3), (4, 2))

LAYOUTS = (
    _Layout("steps", OF_CLASSES, ("[N, C, S]", "[N, S]"), _as_held, STEPS),
    _Layout("images", OF_CLASSES, ("[N, C, H, W]", "[N, H, W]"), _as_held, IMAGES),
    _Layout("score_column", OF_LABELS, ("[N, 1]", "[N]"), _score_channel, ((),), SINGLE),
    _Layout("label_column", OF_LABELS, ("[N]", "[N, 1]"), _label_channel, ((),), SINGLE),
    _Layout("label_column", OF_QUANTILES, ("[N, Q]", "[N, 1]"), _label_channel, ((),)),
    _Layout("images", OF_LABELS, ("[N, K, H, W]", "[N, K, H, W]"), _as_held, IMAGES, (1, 3)),
    _Layout("classes_last", (*OF_CLASSES, *OF_CLASS_MASKS), ("[N, S, C]", "[N, S]"), _classes_last, STEPS),
    _Layout(
        "indices",
        OF_LABELS,
        ("[N, K]", "[N], given as class indices"),
        _as_indices,
        ((),),
        (2, 3),
        binary.ONE_HOT,
        _is_one_hot,
    ),
    _Layout("steps", OF_VALUES, ("[N, S, K]", "[N, S, K]"), _classes_last, STEPS, (1, 3)),
    _Layout("images", OF_VALUES, ("[N, K, H, W]", "[N, K, H, W]"), _as_held, IMAGES, (1, 3)),
    _Layout("classes_last", OF_QUANTILES, ("[N, S, Q]", "[N, S]"), _classes_last, STEPS),
    _Layout(
        "images_last", (*OF_CLASSES, *OF_CLASS_MASKS), ("[N, H, W, C]", "[N, H, W]"), _classes_last, IMAGES
    ),
    _Layout("images_last", OF_CHANNELS, ("[N, H, W, K]", "[N, H, W, K]"), _classes_last, IMAGES),
    _Layout(
        "shifted", OF_TOKENS, ("[N, S, C]", "[N, S], each the target of the step before it"), _shifted, STEPS
    ),
    _Layout(
        "label_channel",
        (*OF_INDICES, *OF_INDEX_MASKS),
        ("[N, C, H, W]", "[N, 1, H, W]"),
        _label_channel,
        IMAGES,
    ),
    _Layout(
        "label_channel",
        (*OF_LABELS, *OF_MASKS),
        ("[N, H, W]", "[N, 1, H, W]"),
        _label_channel,
        IMAGES,
        SINGLE,
    ),
    _Layout(
        "score_channel",
        (*OF_LABELS, *OF_MASKS),
        ("[N, 1, H, W]", "[N, H, W]"),
        _score_channel,
        IMAGES,
        SINGLE,
    ),
)
SPACES = tuple(space for layout in LAYOUTS for space in layout.spaces())
