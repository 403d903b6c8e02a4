"""LA501 to LA509: what proves each rule, and the look-alikes on which it is silent."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from lossaudit.check import CheckOptions, check_files

CODES = frozenset(f"LA50{number}" for number in range(1, 10))
HEAD = """\
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Variable

net = nn.Linear(8, 3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
"""


def found(folder: Path, source: str) -> list[tuple[str, str]]:
    """(code, the line that is reported), in the order of the lines."""
    path = folder / "code.py"
    text = HEAD + dedent(source)
    path.write_text(text, encoding="utf-8")
    findings = check_files([path], CheckOptions(select=CODES, debug=True)).findings
    lines = text.splitlines()
    return [(one.code, lines[one.span.start.row - 1].strip()) for one in findings]


def loop(body: str, before: str = "", signature: str = "loader, k=4") -> str:
    """A training loop around ``body``."""
    inner = "\n".join("        " + line for line in dedent(body).strip().splitlines())
    return f"\ndef train({signature}):\n    {before or 'pass'}\n    for i, (x, y) in enumerate(loader):\n{inner}\n"


def step(body: str) -> str:
    """One training step around ``body``."""
    return loop("optimizer.zero_grad()\n" + dedent(body).strip() + "\noptimizer.step()")


def criterion(body: str, head: str = "self.alpha = alpha") -> str:
    """A loss module with ``body`` as its ``forward``."""
    inner = "\n".join("        " + line for line in dedent(body).strip().splitlines())
    return (
        f"\nclass SomeLoss(nn.Module):\n    def __init__(self, alpha):\n        super().__init__()\n        {head}\n"
        f"    def forward(self, logits, target):\n{inner}\n"
    )


WRONG = {
    "LA501 numpy in between": (
        step("loss = torch.from_numpy(F.cross_entropy(net(x), y).detach().cpu().numpy()).requires_grad_()\nloss.backward()"),
        "LA501", "loss = torch.from_numpy(F.cross_entropy(net(x), y).detach().cpu().numpy()).requires_grad_()",
    ),
    "LA501 one of two terms": (
        step("a = F.cross_entropy(net(x), y)\nb = F.mse_loss(net(x).softmax(1), y).detach()\n(a + 0.5 * b).backward()"),
        "LA501", "b = F.mse_loss(net(x).softmax(1), y).detach()",
    ),
    "LA501 an unknown model and criterion": (
        ("\ndef train(model, criterion, x, y):\n    value = criterion(model(x), y).item()\n"
        "    loss = torch.tensor(value, requires_grad=True)\n    loss.backward()\n"),
        "LA501", "value = criterion(model(x), y).item()",
    ),
    "LA501 a step of Lightning": (
        ("\nimport lightning as L\nclass Lit(L.LightningModule):\n    def __init__(self):\n        super().__init__()\n"
        "        self.net = nn.Linear(2, 2)\n    def training_step(self, batch, i):\n        x, y = batch\n"
        "        return F.cross_entropy(self.net(x), y).detach()\n"),
        "LA501", "return F.cross_entropy(self.net(x), y).detach()",
    ),
    "LA502 a prediction under no_grad": (
        step("with torch.no_grad():\n    out = net(x)\nloss = F.cross_entropy(out, y)\nloss.backward()"),
        "LA502", "out = net(x)",
    ),
    "LA502 the whole step": (
        "\n@torch.no_grad()\ndef train(x, y):\n    loss = F.cross_entropy(net(x), y)\n    loss.backward()\n    optimizer.step()\n",
        "LA502", "loss = F.cross_entropy(net(x), y)",
    ),
    "LA503 moved to a fixed device": (
        criterion("return F.cross_entropy(logits, target.to('cuda:0'))"),
        "LA503", "return F.cross_entropy(logits, target.to('cuda:0'))",
    ),
    "LA503 behind a flag that is off wherever it is built": (
        criterion("if self.alpha:\n    target = target.cuda()\nreturn F.cross_entropy(logits, target)")
        + "\nbuilt = SomeLoss(False)\n",
        "LA503", "target = target.cuda()",
    ),
    "LA503 in a function of two tensors": (
        ("\ndef ordinal(logits, target):\n    steps = torch.arange(logits.size(1))\n"
        "    return ((logits.softmax(1) * steps).sum(1) - target).abs().mean()\n"),
        "LA503", "steps = torch.arange(logits.size(1))",
    ),
    "LA504 on a weighted sum": (
        step("loss = 0.5 * F.cross_entropy(net(x), y) + 0.1 * F.mse_loss(net(x), y)\nloss.requires_grad_()\nloss.backward()"),
        "LA504", "loss.requires_grad_()",
    ),
    "LA505 an unknown criterion": (
        loop("optimizer.zero_grad()\nloss = criterion(model(x), y)\nloss.backward()\noptimizer.step()\ntotal += loss",
             "total = 0.0", "model, criterion, loader"),
        "LA505", "total += loss",
    ),
    "LA505 the loss of an unknown output": (
        loop("optimizer.zero_grad()\nout = model(x)\nout.loss.backward()\nloss = out.loss\nloss.backward()\noptimizer.step()\nkept.append(loss.cpu())",
             "kept = []", "model, loader"),
        "LA505", "kept.append(loss.cpu())",
    ),
    "LA506 accumulation that never clears": (
        loop("loss = F.cross_entropy(net(x), y) / k\nloss.backward()\nif i % k == 0:\n    optimizer.step()"),
        "LA506", "loss.backward()",
    ),
    "LA506 cleared in a branch that always runs": (
        loop("loss = F.cross_entropy(net(x), y)\nloss.backward()\nif y is None:\n    optimizer.zero_grad()\nelse:\n"
             "    optimizer.zero_grad()\noptimizer.step()"),
        "LA506", "loss.backward()",
    ),
    "LA507 a step after continue": (
        loop("F.cross_entropy(net(x), y).backward()\nif (i + 1) % k != 0:\n    continue\noptimizer.step()\noptimizer.zero_grad()"),
        "LA507", "F.cross_entropy(net(x), y).backward()",
    ),
    "LA508 a choice by the target": (
        criterion("self.alpha = torch.where(target == 1, self.alpha, 1 - self.alpha)\nreturn (self.alpha * logits).mean()"),
        "LA508", "self.alpha = torch.where(target == 1, self.alpha, 1 - self.alpha)",
    ),
    "LA509 overwritten before it is used": (
        criterion("loss = F.cross_entropy(logits, target)\nloss = F.mse_loss(logits, target)\nreturn loss"),
        "LA509", "loss = F.cross_entropy(logits, target)",
    ),
    "LA509 the last of a chain": (
        criterion("mask = (target > 0).float()\nshare = mask.sum()\nreturn F.cross_entropy(logits, target)"),
        "LA509", "share = mask.sum()",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_is_reported_once_at_its_line(name: str, tmp_path: Path) -> None:
    source, code, line = WRONG[name]
    assert found(tmp_path, source) == [(code, line)]


RIGHT = {
    "LA501 a straight-through estimator": step("z = net(x)\nq = z + (z.round() - z).detach()\nF.mse_loss(q, y).backward()"),
    "LA501 the same value with a scaled gradient": step(
        "loss = F.cross_entropy(net(x), y)\n(0.1 * loss + (loss - 0.1 * loss).detach()).backward()"
    ),
    "LA501 a leaf of one's own": step("z = net(x).detach().requires_grad_()\nF.mse_loss(z, y).backward()"),
    "LA501 an unknown prediction": "\ndef train(model, target, x):\n    F.mse_loss(net(x).detach(), model(x)).backward()\n",
    "LA501 manual optimization": (
        "\nimport lightning as L\nclass Lit(L.LightningModule):\n    def __init__(self):\n        super().__init__()\n"
        "        self.net = nn.Linear(2, 2)\n        self.automatic_optimization = False\n"
        "    def training_step(self, batch, i):\n        loss = F.cross_entropy(self.net(batch[0]), batch[1])\n"
        "        self.manual_backward(loss)\n        return loss.detach()\n"
    ),
    "LA502 enabled by a decorator": (
        "\n@torch.enable_grad()\ndef closure(x, y):\n    return F.cross_entropy(net(x), y)\n"
        "\n@torch.no_grad()\ndef train(x, y):\n    closure(x, y).backward()\n"
    ),
    "LA502 a step that also runs where nothing is recorded": (
        "\ndef step(x, y):\n    optimizer.zero_grad()\n    loss = F.cross_entropy(net(x), y)\n    loss.backward()\n    optimizer.step()\n"
        "\ndef replay(loader):\n    with torch.no_grad():\n        for x, y in loader:\n            step(x, y)\n"
    ),
    "LA501 behind more layers than are remembered": (
        "\ndeep = nn.Sequential(*[nn.Linear(8, 8) for _ in range(150)])\n"
        "\ndef step(x, y):\n    optimizer.zero_grad()\n    out = deep(x)\n    (out - out.detach() * 2).pow(2).mean().backward()\n"
        "    optimizer.step()\n"
    ),
    "nothing fails: back-propagation of a term that has forgotten its operands": (
        "\ndef step(x):\n" + "    x = torch.sin(x)\n" * 120 + "    x.backward()\n    optimizer.step()\n"
    ),
    "LA505 a list of two": loop(
        "parts = []\nfor half in (x, y):\n    optimizer.zero_grad()\n    loss = F.mse_loss(net(half), half)\n    parts.append(loss)\n"
        "    loss.backward()\n    optimizer.step()\nprint(parts)"
    ),
    "LA112 a sign beside the value itself": (
        "\ndef squeeze(x):\n    return torch.sign(x) * torch.log1p(torch.abs(x))\n"
        "\ndef step(model, x, y):\n    optimizer.zero_grad()\n    out = model(net(x).tanh())\n    (squeeze(out) - y).pow(2).mean().backward()\n"
        "    optimizer.step()\n"
    ),
    "LA501 parameters that are flagged one by one": (
        "\nw, b = torch.randn(8, 3), torch.randn(3)\nparameters = [w, b]\nfor p in parameters:\n    p *= 0.01\n"
        "for p in parameters:\n    p.requires_grad = True\n\nrows = [[float(i)] * 8 for i in range(9)]\ndata = torch.tensor(rows)\n"
        "for _ in range(100):\n    for p in parameters:\n        p.grad = None\n    F.mse_loss(data @ w + b, torch.tensor([0.5] * 3)).backward()\n"
        "    for p in parameters:\n        p.data -= 0.1 * p.grad\n"
    ),
    "LA501 the gradient of an input": (
        "\nfrom torch.autograd import Variable\n\ndef attack(x, centre):\n    noise = Variable(torch.randn(4, 8), requires_grad=True)\n"
        "    away = noise - Variable(centre.index_select(0, noise.argmax(1)))\n    away.pow(2).mean().backward()\n    return noise.grad\n"
    ),
    "LA503 the device is a setting": (
        "\nclass Settings:\n    def __init__(self, device='cuda'):\n        self.device = device\n\n"
        + criterion("w = torch.ones(3, device=self.alpha.device)\nreturn F.cross_entropy(logits, target, weight=w)")
        + "\nbuilt = SomeLoss(Settings())\n"
    ),
    "LA503 guarded by the input's device": criterion(
        "w = torch.ones(3)\nif logits.is_cuda:\n    w = w.cuda()\nreturn F.cross_entropy(logits, target, weight=w)"
    ),
    "LA503 an index": criterion("return -logits.log_softmax(1)[torch.arange(len(target)), target].mean()"),
    "LA503 the targets of CTC": criterion(
        "steps = torch.arange(1, 9).unsqueeze(0)\nreturn F.ctc_loss(logits.log_softmax(2), steps, target, target)"
    ),
    "LA503 a device that is handed over": criterion(
        "w = torch.ones(3, device=self.alpha)\nreturn F.cross_entropy(logits, target, weight=w)"
    ),
    "LA503 a matching that SciPy computes": criterion(
        "from scipy.optimize import linear_sum_assignment\nrows, columns = linear_sum_assignment(logits.detach().cpu().numpy())\n"
        "return F.cross_entropy(logits[rows], target[columns])"
    ),
    "LA503 a training step with an unknown model": (
        "\ndef step(model, batch):\n    x, y = batch\n    return F.cross_entropy(model(x.cuda()), y.cuda())\n"
    ),
    "LA504 a learned weight": "\nweight = torch.zeros(1)\nweight.requires_grad = True\n",
    "LA505 the sum is the objective": loop(
        "optimizer.zero_grad()\ntotal = 0\nfor part in x:\n    total += F.cross_entropy(net(part), y)\ntotal.backward()\noptimizer.step()"
    ),
    "LA505 a dict that is cleared by its keys": loop(
        "for name in parts:\n    parts[name] = 0\nloss = F.cross_entropy(net(x), y)\nfor name in parts:\n    parts[name] += loss\n"
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()", "parts = dict(k)"
    ),
    "LA505 reset now and then": loop(
        "optimizer.zero_grad()\nloss = F.cross_entropy(net(x), y)\nloss.backward()\noptimizer.step()\ntotal += loss\n"
        "if i % 100 == 0:\n    print(total)\n    total = 0", "total = 0"
    ),
    "LA505 a list that is written out when it is full": loop(
        "optimizer.zero_grad()\nloss = F.cross_entropy(net(x), y)\nloss.backward()\noptimizer.step()\nkept += [loss]\n"
        "if len(kept) == 50:\n    print(sum(kept))\n    kept = []", "kept = []"
    ),
    "LA505 detached when the window is over": loop(
        "loss = F.cross_entropy(net(x), y) / k\nloss.backward()\ntotal += loss\n"
        "if i % k == 0:\n    optimizer.step()\n    optimizer.zero_grad()\n    total = total.detach()\n    print(total)\n    total = 0",
        "total = 0"
    ),
    "LA506 cleared before each epoch and after each window": (
        "\ndef train(loader, k):\n    for _ in range(3):\n        optimizer.zero_grad()\n        for i, (x, y) in enumerate(loader):\n"
        "            (F.cross_entropy(net(x), y) / k).backward()\n            if i % k == 0:\n                optimizer.step()\n"
        "                optimizer.zero_grad()\n"
    ),
    "LA506 a new model each round": (
        "\ndef search(x, y):\n    for rate in range(100):\n        model = nn.Linear(2, 2)\n"
        "        opt = torch.optim.SGD(model.parameters(), lr=rate)\n        F.mse_loss(model(x), y).backward()\n        opt.step()\n"
    ),
    "LA506 an optimizer of unknown class": (
        "\ndef train(loader, opt):\n    for x, y in loader:\n        F.mse_loss(net(x), y).backward()\n        opt.step()\n"
    ),
    "LA506 a callback that holds the optimizer": loop(
        "F.mse_loss(net(x), y).backward()\noptimizer.step()\nhooks.after(optimizer)", signature="loader, hooks"
    ),
    "LA506 two optimizers, each cleared in its turn": loop(
        "F.mse_loss(net(x), y).backward()\nother.zero_grad()\noptimizer.step()\noptimizer.zero_grad()\n"
        "F.mse_loss(critic(x), y).backward()\nother.step()\n",
        "critic = nn.Linear(8, 1); other = torch.optim.SGD(critic.parameters(), lr=0.1)",
    ),
    "LA507 a wrapper that divides": (
        "\nfrom accelerate import Accelerator\naccelerator = Accelerator(gradient_accumulation_steps=4)\n"
        + loop("accelerator.backward(F.cross_entropy(net(x), y))\nif i % k == 0:\n    optimizer.step()\n    optimizer.zero_grad()")
    ),
    "LA507 a weight that may hold the number": loop(
        "(w * F.cross_entropy(net(x), y)).backward()\nif i % k == 0:\n    optimizer.step()\n    optimizer.zero_grad()",
        signature="loader, k, w",
    ),
    "LA508 a histogram with a memory": criterion(
        "self.alpha = self.alpha * 0.9 + 0.1 * logits.mean(0)\nself.alpha /= self.alpha.sum()\nreturn F.cross_entropy(logits - self.alpha, target)"
    ),
    "LA508 set anew in each call": criterion(
        "self.alpha = logits.softmax(1)\nself.alpha = self.alpha[target]\nreturn self.alpha.mean()"
    ),
    "LA508 a setter outside of forward": criterion("return F.cross_entropy(logits, target, weight=self.alpha)")
    + "    def restrict(self, classes):\n        self.alpha = self.alpha[classes]\n",
    "LA509 what only a condition reads": criterion(
        "total = target.float().sum()\nif total > 0:\n    return F.cross_entropy(logits, target)\nreturn logits.sum() * 0"
    ),
    "LA509 an unpacked tuple": criterion("values, indices = logits.max(dim=1)\nreturn F.mse_loss(values, target)"),
    "LA509 read in the next round of a loop": criterion(
        "loss, last = 0.0, logits\nfor row in target:\n    loss = loss + F.mse_loss(logits, last)\n    last = logits.roll(1)\nreturn loss"
    ),
    "LA509 read by name": criterion("weight = logits.exp()\nprint(locals())\nreturn F.mse_loss(logits, target)"),
    "LA509 kept for an except": criterion(
        "guess = logits.exp()\ntry:\n    loss = F.mse_loss(logits, target)\nexcept RuntimeError:\n    loss = guess.mean()\nreturn loss"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_is_silent(name: str, tmp_path: Path) -> None:
    assert found(tmp_path, RIGHT[name]) == []
