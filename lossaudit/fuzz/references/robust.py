"""Losses whose slope falls where the error is large: members of Barron's family, each scaled by c."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossaudit.fuzz.model import Parameter, ReferenceSpec
from lossaudit.fuzz.references.regression import LAWS, VALUES, elementwise

if TYPE_CHECKING:
    from torch import Tensor

    from lossaudit.fuzz.model import Params

_BARRON = "Barron 2019, A General and Adaptive Robust Loss Function, equations 8 to 13 (arXiv:1701.03077)"
SCALE = Parameter("scale", 1.0, "number", ("scale", "c", "sigma", "delta"), low=1e-6, high=1e3)


def _square(error: Tensor, params: Params) -> Tensor:
    return torch.square(error / params["scale"])


def _cauchy(error: Tensor, params: Params) -> Tensor:
    return torch.log1p(_square(error, params) / 2)


def _geman_mcclure(error: Tensor, params: Params) -> Tensor:
    square = _square(error, params)
    return 2 * square / (square + 4)


def _welsch(error: Tensor, params: Params) -> Tensor:
    return -torch.expm1(-_square(error, params) / 2)


def _pseudo_huber(error: Tensor, params: Params) -> Tensor:
    square = _square(error, params)
    return square / (1 + (1 + square).sqrt())


REFERENCES = tuple(
    ReferenceSpec(
        name=name,
        summary=summary,
        source=source,
        spaces=VALUES,
        formula=elementwise(loss),
        parameters=(SCALE,),
        laws=LAWS,
        degree=2,
    )
    for name, summary, source, loss in (
        ("cauchy_loss", "log(1 + ((x - y) / c)^2 / 2)", _BARRON, _cauchy),
        ("geman_mcclure_loss", "2 ((x - y) / c)^2 / (((x - y) / c)^2 + 4)", _BARRON, _geman_mcclure),
        ("welsch_loss", "1 - exp(-((x - y) / c)^2 / 2)", _BARRON, _welsch),
        ("pseudo_huber_loss", "sqrt(1 + ((x - y) / c)^2) - 1", _BARRON, _pseudo_huber),
    )
)
