"""Every fix is proved by running: a safe one keeps value and gradient, an unsafe one gives the reference."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from lossaudit.check.audit import Request, run
from lossaudit.rulebook import load_rules

HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def fixed(folder: Path, code: str, source: str, *, unsafe: bool) -> str:
    """The text after the fixes of one rule; each of its findings must be gone."""
    path = folder / "sample.py"
    path.write_text(source)
    request = Request((path,), folder, frozenset({code}), change="fix", unsafe=unsafe)
    outcome = run(request)
    assert outcome.changes, f"nothing was fixed in\n{source}"
    assert outcome.findings == ()
    return path.read_text()


def executed(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "sample"}
    exec(compile(source, "sample.py", "exec"), namespace)  # noqa: S102
    return namespace


def value_and_gradient(
    function: Loss, scores: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    leaf = scores.clone().requires_grad_()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(leaf, target)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def samples(shape: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(shape, generator=generator, dtype=torch.float64)
    return [plain, 3 * plain, torch.zeros(shape, dtype=torch.float64)]


CLASSES = torch.tensor([0, 2, 1, 2])
MANY = (4, 3)
BINARY = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
ROWS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], dtype=torch.float64)

SAFE: dict[str, list[tuple[str, tuple[int, ...], torch.Tensor]]] = {
    "LA102": [
        ("def loss(z, y):\n    return F.cross_entropy(F.log_softmax(z, dim=1), y)\n", MANY, CLASSES),
        ("def loss(z, y):\n    p = (z * 2).log_softmax(1)\n    return nn.CrossEntropyLoss()(p, y)\n", MANY, CLASSES),
        (
            ("def loss(z, y):\n    p = F.log_softmax(z, dim=1)\n"
            "    return F.cross_entropy(p, y) + p.exp().square().sum()\n"),
            MANY,
            CLASSES,
        ),
        ("def loss(z, y):\n    return F.cross_entropy(nn.LogSoftmax(dim=1)(z), y, label_smoothing=0.1)\n", MANY, CLASSES),
    ],
    "LA401": [
        ("def loss(z, y):\n    return -(y * torch.log(torch.softmax(z, 1))).sum(1).mean()\n", MANY, ROWS),
        ("def loss(z, y):\n    return -(y * F.softmax(z / 2, dim=1).log()).sum()\n", MANY, ROWS),
        (
            ("def loss(z, y):\n    p = z.softmax(dim=-1)\n    focal = (1 - p) ** 2\n"
            "    return -(y * focal * torch.log(p)).sum()\n"),
            MANY,
            ROWS,
        ),
        ("def loss(z, y):\n    return -torch.log(F.softmax(z, dim=1)[range(len(z)), y]).mean()\n", MANY, CLASSES),
        ("def loss(z, y):\n    return -F.softmax(z, dim=1).gather(1, y[:, None]).log().mean()\n", MANY, CLASSES),
    ],
    "LA402": [
        ("def loss(z, y):\n    return -torch.log(torch.sigmoid(z)).mean() + 0 * y.sum()\n", (4,), BINARY),
        (
            ("def loss(z, y):\n    p = torch.sigmoid(z)\n"
            "    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()\n"),
            (4,),
            BINARY,
        ),
        (
            "def loss(z, y):\n    p = (2 * z + 1).sigmoid()\n    w = (1 - p) ** 2\n    return -(w * y * p.log()).sum()\n",
            (4,),
            BINARY,
        ),
        ("def loss(z, y):\n    return -(y * torch.log1p(-torch.sigmoid(z - 1))).sum()\n", (4,), BINARY),
    ],
    "LA403": [
        ("def loss(z, y):\n    return (y * (1 / (1 + torch.exp(-z)))).sum()\n", (4,), BINARY),
        ("def loss(z, y):\n    return (y * (1.0 / (1.0 + torch.exp(z)))).sum()\n", (4,), BINARY),
        ("def loss(z, y):\n    return (y * torch.log(1 + torch.exp(z))).sum()\n", (4,), BINARY),
        ("def loss(z, y):\n    return (y * torch.log1p(z.exp())).sum()\n", (4,), BINARY),
        ("def loss(z, y):\n    e = torch.exp(z)\n    return (y * (e / e.sum(dim=1, keepdim=True))).sum()\n", MANY, ROWS),
        ("def loss(z, y):\n    return (y * (z.exp() / z.exp().sum(1, keepdim=True))).sum()\n", MANY, ROWS),
    ],
    "LA405": [
        ("def loss(z, y):\n    return torch.log(torch.exp(z).sum(dim=1)).mean() + 0 * y.sum()\n", MANY, ROWS),
        (
            ("def loss(z, y):\n    e = z.exp()\n    total = e.sum(1, keepdim=True)\n"
            "    return (y * torch.log(total)).sum()\n"),
            MANY,
            ROWS,
        ),
        ("def loss(z, y):\n    return (y * z.exp().sum(dim=-1, keepdim=True).log()).sum()\n", MANY, ROWS),
    ],
    "LA303": [
        ("def loss(z, y):\n    return F.cross_entropy(z, y, size_average=False)\n", MANY, CLASSES),
        ("def loss(z, y):\n    return nn.MSELoss(size_average=False, reduce=False)(z, y).square()\n", MANY, ROWS),
        ("def loss(z, y):\n    return F.nll_loss(F.log_softmax(z, 1), y, None, True)\n", MANY, CLASSES),
        ('def loss(z, y):\n    return nn.L1Loss(reduce=True, reduction="none")(z, y)\n', MANY, ROWS),
    ],
    "LA210": [
        (
            ("class Loss(nn.modules.loss._WeightedLoss):\n"
            '    def __init__(self, size_average=None, reduce=None, reduction="mean"):\n'
            "        super().__init__(size_average, reduce, reduction)\n\n"
            "    def forward(self, z, y):\n        return F.cross_entropy(z, y, weight=self.weight)\n\n\n"
            "def loss(z, y):\n    return Loss()(z, y)\n"),
            MANY,
            CLASSES,
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "source", "shape", "target"),
    [(code, *case) for code, cases in SAFE.items() for case in cases],
)
def test_a_safe_fix_keeps_value_and_gradient(
    code: str, source: str, shape: tuple[int, ...], target: torch.Tensor, tmp_path: Path
) -> None:
    before = executed(HEADER + source)["loss"]
    after = executed(fixed(tmp_path, code, HEADER + source, unsafe=False))["loss"]
    for scores in samples(shape):
        for one, other in zip(
            value_and_gradient(before, scores, target), value_and_gradient(after, scores, target), strict=True
        ):
            torch.testing.assert_close(one, other)


def cross_entropy(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(z, y)


def binary(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(z, y)


def divergence(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.kl_div(F.log_softmax(z, 1), y, reduction="batchmean")


def focal(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    p = z.softmax(1)[torch.arange(len(z)), y]
    return -((1 - p) ** 2 * p.log()).mean()


def soft(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -(y * F.log_softmax(z, 1)).sum(1).mean()


def masked(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    keep = y > 0
    return ((z - y).square() * keep).sum() / keep.sum()


NET = (
    "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.act = nn.{}\n\n"
    "    def forward(self, z):\n        z = nn.functional.linear(z, torch.eye(z.size(-1), dtype=z.dtype))\n"
    "        return {}\n\n\n"
    "net = Net()\n\n\n"
)

UNSAFE: dict[str, list[tuple[str, tuple[int, ...], torch.Tensor, Loss]]] = {
    "LA101": [
        ("def loss(z, y):\n    return F.cross_entropy(F.softmax(z, dim=1), y)\n", MANY, CLASSES, cross_entropy),
        ("def loss(z, y):\n    return F.cross_entropy(z.softmax(1), y)\n", MANY, CLASSES, cross_entropy),
        ("def loss(z, y):\n    p = torch.softmax(input=z, dim=1)\n    return nn.CrossEntropyLoss()(p, y)\n", MANY, CLASSES, cross_entropy),
        ("def loss(z, y):\n    p = z.softmax(1)\n    hit = p.argmax(1)\n    return F.cross_entropy(p, y) + 0 * hit.sum()\n", MANY, CLASSES, cross_entropy),
        (NET.format("Softmax(dim=1)", "self.act(z)") + "def loss(z, y):\n    return F.cross_entropy(net(z), y)\n", MANY, CLASSES, cross_entropy),
        ("def loss(z, y):\n    return F.cross_entropy(nn.Sequential(nn.Identity(), nn.Softmax(dim=1))(z), y)\n", MANY, CLASSES, cross_entropy),
        (
            ("layers = [nn.Identity()]\nlayers.append(nn.Softmax(dim=1))\nnet = nn.Sequential(*layers)\n\n\n"
            "def loss(z, y):\n    return F.cross_entropy(net(z), y)\n"),
            MANY,
            CLASSES,
            cross_entropy,
        ),
        (
            ("from collections import OrderedDict\n\n"
            "net = nn.Sequential(OrderedDict([('a', nn.Identity()), ('p', nn.Softmax(dim=1))]))\n\n\n"
            "def loss(z, y):\n    return F.cross_entropy(net(z), y)\n"),
            MANY,
            CLASSES,
            cross_entropy,
        ),
        (
            ("class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.layers = nn.ModuleList([nn.Identity(), nn.Identity()])\n        self.act = nn.Softmax(dim=1)\n\n"
            "    def forward(self, z):\n        for i, layer in enumerate(self.layers):\n            z = layer(z)\n"
            "            if i < len(self.layers) - 1:\n                z = z * 2\n        return self.act(z)\n\n\n"
            "net = Net()\n\n\ndef loss(z, y):\n    return F.cross_entropy(net(z), y)\n"),
            MANY,
            CLASSES,
            lambda z, y: F.cross_entropy(2 * z, y),
        ),
    ],
    "LA103": [
        ("def loss(z, y):\n    return F.nll_loss(F.softmax(z, dim=1), y)\n", MANY, CLASSES, cross_entropy),
        (NET.format("Softmax(dim=1)", "z") + "def loss(z, y):\n    return nn.NLLLoss()(net(z), y)\n", MANY, CLASSES, cross_entropy),
        (NET.format("Softmax(dim=1)", "self.act(z)") + "def loss(z, y):\n    return F.nll_loss(net(z), y)\n", MANY, CLASSES, cross_entropy),
    ],
    "LA104": [
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return nn.BCELoss()(net(z), y)\n", (4, 1), BINARY[:, None], binary),
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return F.binary_cross_entropy(net(z), y)\n", (4, 1), BINARY[:, None], binary),
    ],
    "LA105": [
        ("def loss(z, y):\n    return F.binary_cross_entropy_with_logits(torch.sigmoid(z), y)\n", (4,), BINARY, binary),
        (NET.format("Sigmoid()", "self.act(z)") + "def loss(z, y):\n    return nn.BCEWithLogitsLoss()(net(z), y)\n", (4, 1), BINARY[:, None], binary),
    ],
    "LA106": [
        ("def loss(z, y):\n    return F.cross_entropy(torch.sigmoid(z), y)\n", MANY, CLASSES, cross_entropy),
    ],
    "LA108": [
        (
            ("def loss(z, y):\n    h = F.linear(z.view(z.size(0), -1), torch.eye(3, dtype=z.dtype))\n"
            "    return F.nll_loss(F.log_softmax(h, dim=0), y)\n"),
            MANY, CLASSES, cross_entropy,
        ),
    ],
    "LA109": [
        ('def loss(z, y):\n    return F.kl_div(F.softmax(z, dim=1), y, reduction="batchmean")\n', MANY, ROWS, divergence),
        (
            ("def loss(z, y):\n    q = torch.softmax(y.log(), 1)\n"
            '    return F.kl_div(z.log_softmax(1), q, reduction="batchmean", log_target=True)\n'),
            MANY, ROWS, divergence,
        ),
    ],
    "LA201": [
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return nn.CrossEntropyLoss(net(z), y)\n", MANY, CLASSES, cross_entropy),
    ],
    "LA202": [
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return F.cross_entropy(y.long(), net(z))\n", MANY, CLASSES, cross_entropy),
    ],
    "LA203": [
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return F.cross_entropy(net(z), y.view(-1).float())\n", MANY, CLASSES, cross_entropy),
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return F.binary_cross_entropy_with_logits(net(z), y.long()).double()\n", (4, 1), BINARY[:, None], binary),
    ],
    "LA207": [
        (
            "def loss(z, y):\n    ce = F.cross_entropy(z, y)\n    pt = torch.exp(-ce)\n    return (1 - pt) ** 2 * ce\n",
            MANY, CLASSES, focal,
        ),
    ],
    "LA302": [
        ("def loss(z, y):\n    return nn.KLDivLoss()(F.log_softmax(z, 1), y)\n", MANY, ROWS, divergence),
        ('def loss(z, y):\n    return F.kl_div(F.log_softmax(z, 1), y, reduction="mean")\n', MANY, ROWS, divergence),
    ],
    "LA304": [
        ("def loss(z, y):\n    return -(y * F.log_softmax(z, dim=1)).mean()\n", MANY, ROWS, soft),
        ("def loss(z, y):\n    return torch.mean(-y * z.log_softmax(1))\n", MANY, ROWS, soft),
        ("def loss(z, y):\n    return -(y * z.log_softmax(1)).mean(dim=1).mean()\n", MANY, ROWS, soft),
    ],
    "LA305": [
        (
            ("def loss(z, y):\n    keep = (y > 0).double()\n"
            '    error = F.mse_loss(z, y, reduction="none")\n    return (error * keep).mean()\n'),
            MANY, ROWS, masked,
        ),
    ],
    "LA309": [
        (NET.format("Identity()", "z") + "def loss(z, y):\n    return F.cross_entropy(net(z), y) / z.size(0)\n", MANY, CLASSES, cross_entropy),
    ],
    "LA410": [
        (
            'def loss(z, y):\n    with torch.autocast("cuda"):\n        return F.binary_cross_entropy(torch.sigmoid(z), y)\n',
            (4,), BINARY, binary,
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "source", "shape", "target", "reference"),
    [(code, *case) for code, cases in UNSAFE.items() for case in cases],
)
def test_an_unsafe_fix_gives_the_reference(
    code: str, source: str, shape: tuple[int, ...], target: torch.Tensor, reference: Loss, tmp_path: Path
) -> None:
    after = executed(fixed(tmp_path, code, HEADER + source, unsafe=True))["loss"]
    for scores in samples(shape):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # autocast without a GPU
            found = value_and_gradient(after, scores, target)
        for one, other in zip(found, value_and_gradient(reference, scores, target), strict=True):
            torch.testing.assert_close(one, other)


def test_classes_are_moved_to_dimension_one(tmp_path: Path) -> None:
    source = HEADER + textwrap.dedent("""\
        head = nn.Linear(5, 3)


        def loss(h, y):
            h = h.view(2, 4, 5)
            return F.cross_entropy(head(h), y)
        """)
    namespace = executed(fixed(tmp_path, "LA311", source, unsafe=True))
    hidden, labels = torch.randn(2, 4, 5), torch.randint(3, (2, 4))
    expected = F.cross_entropy(namespace["head"](hidden).flatten(0, 1), labels.flatten())
    torch.testing.assert_close(namespace["loss"](hidden, labels), expected)


LOOP = textwrap.dedent("""\
    def train(net, batches):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        total = 0.0
        for i, (x, y) in enumerate(batches):
            loss = {loss}
            {before}
            loss.backward()
            {after}
            total = total + loss * x.size(0)
        return total
    """)


def trained(source: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights after training, and what was accumulated."""
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(4, 3, generator=generator), torch.tensor([0, 1, 1, 0])) for _ in range(4)]
    total = executed(source)["train"](net, batches)
    return net.weight.detach(), total.detach()


EACH_STEP = {"before": "optimizer.zero_grad()", "after": "optimizer.step()"}
PLAIN = "F.cross_entropy(net(x), y)"


def test_a_kept_loss_is_detached_and_training_stays_the_same(tmp_path: Path) -> None:
    source = HEADER + LOOP.format(loss=PLAIN, **EACH_STEP)
    after = fixed(tmp_path, "LA505", source, unsafe=False)
    assert "total = total + loss.detach() * x.size(0)" in after
    for one, other in zip(trained(source), trained(after), strict=True):
        torch.testing.assert_close(one, other)
    assert not executed(after)["train"](
        torch.nn.Linear(3, 2), [(torch.randn(1, 3), torch.tensor([0]))]
    ).requires_grad


def test_an_unreduced_loss_is_averaged(tmp_path: Path) -> None:
    source = HEADER + LOOP.format(loss='F.cross_entropy(net(x), y, reduction="none")', **EACH_STEP)
    weights, _ = trained(fixed(tmp_path, "LA301", source, unsafe=True))
    torch.testing.assert_close(weights, trained(HEADER + LOOP.format(loss=PLAIN, **EACH_STEP))[0])


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path: Path) -> None:
    each = {
        "before": "pass",
        "after": "if (i + 1) % 2 == 0:\n            optimizer.step()\n            optimizer.zero_grad()",
    }
    fixed_source = fixed(tmp_path, "LA507", HEADER + LOOP.format(loss=PLAIN, **each), unsafe=True)
    divided = HEADER + LOOP.format(loss=f"{PLAIN} / 2", **each)
    torch.testing.assert_close(trained(fixed_source)[0], trained(divided)[0])


def test_a_registered_tensor_moves_with_its_module(tmp_path: Path) -> None:
    source = HEADER + textwrap.dedent("""\
        class Weighted(nn.Module):
            def __init__(self, weight):
                super().__init__()
                self.weight = torch.tensor(weight)

            def forward(self, z, y):
                return F.cross_entropy(z, y, weight=self.weight)
        """)
    after = executed(fixed(tmp_path, "LA208", source, unsafe=True))["Weighted"]
    z, weight = torch.randn(4, 3), [1.0, 2.0, 3.0]
    assert set(after(weight).state_dict()) == {"weight"}
    torch.testing.assert_close(
        after(weight)(z, CLASSES), F.cross_entropy(z, CLASSES, weight=torch.tensor(weight))
    )


def test_every_rule_that_promises_a_torch_fix_is_proved_here() -> None:
    elsewhere = {"LA001", "LA113", "LA208", "LA301", "LA311", "LA505", "LA507"}
    promised = {code for code, rule in load_rules().items() if rule.fix != "none"}
    assert promised == {*SAFE, *UNSAFE, *elsewhere}
    assert all(load_rules()[code].fix == "safe" for code in SAFE)


TRAPS = [
    (
        "the method's argument is not the prediction",
        "F.cross_entropy(z.softmax(1), y)",
        "F.cross_entropy(z, y)",
    ),
    ("an alias", "nn.functional.cross_entropy(probabilities(z, -1), y)", "nn.functional.cross_entropy(z, y)"),
    ("a tighter operator", "F.cross_entropy(F.softmax(z + 1, 1) , y)", "F.cross_entropy(z + 1 , y)"),
    (
        "before a dot",
        "F.cross_entropy(F.softmax(z + 1, 1).view(-1, 3), y)",
        "F.cross_entropy((z + 1).view(-1, 3), y)",
    ),
]


@pytest.mark.parametrize(("before", "after"), [case[1:] for case in TRAPS], ids=[case[0] for case in TRAPS])
def test_only_the_operand_is_left(before: str, after: str, tmp_path: Path) -> None:
    source = HEADER + "from torch import softmax as probabilities\n\n\ndef loss(z, y):\n    return {}\n"
    assert fixed(tmp_path, "LA101", source.format(before), unsafe=True) == source.format(after)


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import torch", "torch.nn.functional.logsigmoid"),
        ("import torch as t\nfrom torch import nn", "nn.functional.logsigmoid"),
        ("from torch.nn import functional as fn", "fn.logsigmoid"),
        ("from torch.nn.functional import logsigmoid as ls", "ls"),
        ('"""Losses."""\nfrom torch import sigmoid', "F.logsigmoid"),
        ("from torch import sigmoid\n\nF = 1", "torch.nn.functional.logsigmoid"),
    ],
)
def test_the_import_that_a_fix_needs_comes_with_it(imports: str, expected: str, tmp_path: Path) -> None:
    call = "sigmoid(z)" if "import sigmoid" in imports else "z.sigmoid()"
    source = f"{imports}\n\n\ndef loss(z, y):\n    return -(y * {call}.log()).sum()\n"
    after = fixed(tmp_path, "LA402", source, unsafe=False)
    assert f"return -(y * {expected}(z)).sum()" in after
    assert torch.isfinite(executed(after)["loss"](torch.tensor([-200.0]), 1.0))


def test_a_file_that_imports_torch_late_gets_no_import_at_its_top(tmp_path: Path) -> None:
    source = "def loss(z, y):\n    import torch\n    return -(y * torch.log(torch.sigmoid(z))).sum()\n"
    path = tmp_path / "sample.py"
    path.write_text(source)
    request = Request((path,), tmp_path, frozenset({"LA402"}), change="fix")
    assert [finding.fix for finding in run(request).findings] == [None]
    assert path.read_text() == source


def test_an_attribute_that_is_set_twice_is_not_registered(tmp_path: Path) -> None:
    """``register_buffer`` refuses a name that is taken."""
    source = HEADER + textwrap.dedent("""\
        class Weighted(nn.Module):
            def __init__(self, weight):
                super().__init__()
                self.weight = None
                self.weight = torch.tensor(weight)

            def forward(self, z, y):
                return F.cross_entropy(z, y, weight=self.weight)
        """)
    path = tmp_path / "sample.py"
    path.write_text(source)
    request = Request((path,), tmp_path, frozenset({"LA208"}), change="fix", unsafe=True)
    assert [finding.fix for finding in run(request).findings] == [None]


def test_nothing_is_fixed_where_the_text_does_not_tell(tmp_path: Path) -> None:
    """A clamp after the softmax, other readers of a complex expression, a comment that would be lost."""
    source = HEADER + textwrap.dedent("""\
        def clamped(z, y):
            p = F.softmax(z, dim=1).clamp(1e-6, 1.0)
            return F.cross_entropy(p, y)


        def shared(net, z, y):
            p = F.softmax(net(z), dim=1)
            return F.cross_entropy(p, y), p.max()


        def commented(z, y):
            return F.cross_entropy(F.softmax(z,  # the scores
                                             dim=1), y)
        """)
    path = tmp_path / "sample.py"
    path.write_text(source)
    outcome = run(Request((path,), tmp_path, frozenset({"LA101"}), change="fix", unsafe=True))
    assert [finding.fix for finding in outcome.findings] == [None] * 3
    assert path.read_text() == source
