"""What reading findings in public repositories taught: accused wrongly once, and what must still be found beside it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from lossaudit.check import CheckOptions, check_files
from lossaudit.check.detectors import registered_codes


def found(folder: Path, **sources: str) -> list[str]:
    """The codes of all findings in a project of these modules."""
    paths = []
    for name, source in sources.items():
        path = folder / f"{name}.py"
        path.write_text(dedent(source), encoding="utf-8")
        paths.append(path)
    codes = frozenset(registered_codes()) - {"LA205"}
    return [finding.code for finding in check_files(paths, CheckOptions(select=codes)).findings]


KERAS_HEAD = """
import keras
from keras import layers

inputs = keras.Input((128, 128, 3))
hidden = layers.Conv2D(16, 3, activation="relu")(inputs)
outputs = layers.Conv2D(1, 1, activation={activation})(hidden)
model = keras.Model(inputs, outputs)
model.compile(optimizer="adam", loss="binary_crossentropy")
"""

FLAX_MODULE = """
import flax.linen as nn

class Head(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(1, (1, 1))(x)
"""

PADDLE_NET = """
import paddle
net = paddle.fluid.layers.fc(paddle.ones([4, 3]), 2, act="relu")
"""


def test_a_layer_is_that_of_its_own_framework(tmp_path: Path) -> None:
    """Keras's convolution applies its activation whatever other frameworks call a convolution."""
    right = KERAS_HEAD.format(activation='"sigmoid"')
    assert found(tmp_path, head=FLAX_MODULE, net=PADDLE_NET, unet=right) == []
    wrong = KERAS_HEAD.format(activation="None")
    assert found(tmp_path, head=FLAX_MODULE, net=PADDLE_NET, unet=wrong) == ["LA104"]


def test_a_view_with_the_size_of_another_tensor_has_its_shape(tmp_path: Path) -> None:
    source = """
    import torch
    from torch import nn

    def squared(predicted, y):
        return (predicted - y.{form}) ** 2 / 2

    net = nn.Linear(20, 1)
    for x, y in torch.utils.data.DataLoader([]):
        squared(net(x), y).mean().backward()
    """
    for form in ("view(predicted.size())", "reshape(predicted.shape)", "view_as(predicted)"):
        assert "LA308" not in found(tmp_path, loss=dedent(source).format(form=form)), form
    assert "LA308" in found(tmp_path, loss=dedent(source).format(form="view(-1)"))


def test_paddle_makes_tensors_on_the_device_of_the_program(tmp_path: Path) -> None:
    source = """
    import paddle
    import paddle.nn.functional as F

    def loss(logits, target):
        weights = paddle.ones([10, 4])
        return (F.cross_entropy(logits, target, reduction="none") * weights).mean()
    """
    assert found(tmp_path, loss=source) == []


def test_a_decorated_constructor_configures_its_own_object(tmp_path: Path) -> None:
    source = """
    from functools import wraps
    from torch import nn

    def alias(original, *others):
        def decorator(func):
            @wraps(func)
            def wrapper(*args, **kwargs):
                for other in others:
                    if other in kwargs:
                        kwargs[original] = kwargs.pop(other)
                return func(*args, **kwargs)
            return wrapper
        return decorator

    class Several(nn.Module):
        @alias("reduction", "target_reduction")
        def __init__(self, {parameters}reduction="mean"):
            super().__init__()
            {target}.reduction = reduction

        def forward(self, predicted, target):
            return ((predicted - target) ** 2).mean()

    loss = Several({arguments}reduction="sum")
    """
    own = dedent(source).format(parameters="", target="self", arguments="")
    assert found(tmp_path, loss=own) == []
    other = dedent(source).format(
        parameters="criterion, ", target="criterion", arguments="nn.CrossEntropyLoss(), "
    )
    assert found(tmp_path, loss=other) == ["LA306"]


def test_a_term_that_is_meant_to_have_no_gradient(tmp_path: Path) -> None:
    """A count under ``no_grad`` that is added to the loss, as for the record."""
    source = """
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Criterion(nn.Module):
        {decorator}
        def count_error(self, outputs, counts):
            return F.l1_loss((outputs.argmax(-1) != 3).sum(1).float(), counts)

        def forward(self, outputs, labels, counts):
            return F.cross_entropy(outputs.transpose(1, 2), labels) + self.count_error(outputs, counts)

    net, criterion = nn.Linear(8, 4), Criterion()
    optimizer = torch.optim.SGD(net.parameters())
    for x, labels, counts in torch.utils.data.DataLoader([]):
        optimizer.zero_grad()
        criterion(net(x), labels, counts).backward()
        optimizer.step()
    """
    assert found(tmp_path, loss=dedent(source).format(decorator="@torch.no_grad()")) == []
    assert found(tmp_path, loss=dedent(source).format(decorator="")) == ["LA112"]


def test_gradients_that_another_optimizer_used_are_not_lost(tmp_path: Path) -> None:
    """One step for two optimizers: where the second loss is left out, the first one's gradients were used all the same."""
    source = """
    import torch
    import torch.nn.functional as F
    from torch import nn

    net, temperature = nn.Linear(8, 4), nn.Linear(8, 1)
    first = torch.optim.Adam(net.parameters())
    second = torch.optim.Adam(temperature.parameters())
    for x, y in torch.utils.data.DataLoader([]):
        first.zero_grad()
        F.cross_entropy(net(x), y).backward()
        {between}
        second.zero_grad()
        second.step()
        first.zero_grad()
    """
    assert found(tmp_path, loss=dedent(source).format(between="first.step()")) == []
    assert found(tmp_path, loss=dedent(source).format(between="pass")) == ["LA506"]


def test_a_subclass_takes_the_fields_of_its_dataclass(tmp_path: Path) -> None:
    source = """
    from dataclasses import dataclass
    import keras

    @dataclass
    class Base:
        shape: tuple
        activation: str | None = None

        def compile(self, loss="mse"):
            inputs = keras.Input(self.shape)
            outputs = keras.layers.Dense(19, activation=self.activation)(inputs)
            model = keras.Model(inputs, outputs)
            model.compile(optimizer="adam", loss=loss)
            return model

    {decorator}
    class Dense(Base):
        def describe(self):
            return "dense"

    Dense(shape=(10,){activation}).compile("categorical_crossentropy")
    """
    for decorator in ("", "@dataclass"):
        right = dedent(source).format(decorator=decorator, activation=', activation="softmax"')
        assert found(tmp_path, model=right) == [], decorator
        wrong = dedent(source).format(decorator=decorator, activation="")
        assert found(tmp_path, model=wrong) == ["LA113"], decorator


def test_what_a_test_of_the_sign_says_of_both_sides(tmp_path: Path) -> None:
    source = """
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    class Head(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(x)

    def loss(logits, labels):
        negative = jnp.where(logits {test} {zero}, {first}, {second})
        return (nn.relu(logits) - logits * labels + jnp.log1p(jnp.exp(negative))).mean()

    def update(params, x, labels):
        return jax.value_and_grad(lambda params: loss(Head().apply(params, x), labels))(params)
    """
    zeros = "jnp.zeros_like(logits)"
    right = [
        (">=", "0", "-logits", "logits"),
        ("<", "0", "logits", "-logits"),
        (">", zeros, "-logits", "logits"),
    ]
    wrong = [(">=", "0", "logits", "-logits"), (">=", "1", "-logits", "logits")]
    for cases, codes in ((right, []), (wrong, ["LA403"])):
        for test, zero, first, second in cases:
            code = dedent(source).format(test=test, zero=zero, first=first, second=second)
            assert found(tmp_path, loss=code) == codes, (test, zero, first)


def test_a_record_of_a_term_may_lie_anywhere(tmp_path: Path) -> None:
    source = """
    import torch
    import torch.nn.functional as F

    def losses(predicted, target):
        main = F.mse_loss(predicted, target)
        side = predicted.abs().mean()
        return {{"loss": main + {side}, "side": torch.tensor([side])}}
    """
    assert found(tmp_path, loss=dedent(source).format(side="side")) == []
    assert "LA503" in found(tmp_path, loss=dedent(source).format(side="side * torch.ones(3)"))
    scores = """
    import torch

    def overlap(segments, truths):
        shares = []
        for (start, end), (first, last) in zip(segments, truths):
            shares.append((min(end, last) - max(start, first)) / (max(end, last) - min(start, first)))
        shares = torch.tensor(shares)
        return torch.mean({shares}) * 100
    """
    assert found(tmp_path, scores=dedent(scores).format(shares="shares")) == []


def test_operators_work_in_place_on_the_tensors_of_pytorch_only(tmp_path: Path) -> None:
    source = """
    {imports}

    def loss(predicted, target):
        predicted /= 2.0
        return F.cross_entropy(predicted.reshape((-1, 10)), target.reshape((-1, 1))).mean()
    """
    paddle = dedent(source).format(imports="import paddle.nn.functional as F")
    assert found(tmp_path, loss=paddle) == []
    torch = dedent(source).format(imports="import torch.nn.functional as F")
    assert "LA307" in found(tmp_path, loss=torch)


def test_a_layer_that_another_function_calls(tmp_path: Path) -> None:
    """The auxiliary head of a discriminator on several devices, and a layer that is computed again in the backward pass."""
    source = """
    import torch
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    class Head(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.count = count
            self.scores = nn.Sequential(nn.Linear(20, 10), nn.{activation}(dim=1))

        def forward(self, x):
            if self.count > 1:
                return {call}
            return self.scores(x)

    net, criterion = Head(torch.cuda.device_count()), nn.NLLLoss()
    for x, y in torch.utils.data.DataLoader([]):
        criterion(net(x), y).backward()
    """
    calls = (
        "nn.parallel.data_parallel(self.scores, x, range(self.count))",
        "nn.parallel.data_parallel(self.scores, (x,))",
        "checkpoint(self.scores, x, use_reentrant=False)",
    )
    for call in calls:
        right = dedent(source).format(activation="LogSoftmax", call=call)
        assert found(tmp_path, net=right) == [], call
        wrong = dedent(source).format(activation="Softmax", call=call)
        assert found(tmp_path, net=wrong) == ["LA103"], call


def test_no_gradient_goes_into_a_batch(tmp_path: Path) -> None:
    """Distances between atoms: features of the input, and bins that serve as a target."""
    source = """
    import torch
    from torch import nn

    def distances(positions):
        sides = positions.unsqueeze(2) - positions.unsqueeze(1)
        return torch.sqrt((sides ** 2).sum(-1))

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.near, self.scores = nn.Linear(20, 20), nn.Linear(3, 20)
            self.criterion = nn.CrossEntropyLoss()

        def forward(self, batch):
            near = self.near(distances({features}))
            bins = (distances(batch["truth"]) / 2.0).long()
            return self.criterion(near.flatten(0, 2), bins.flatten())
    """
    right = dedent(source).format(features='batch["positions"]')
    assert found(tmp_path, model=right) == []
    wrong = dedent(source).format(features='self.scores(batch["positions"])')
    assert found(tmp_path, model=wrong) == ["LA408"]


def test_a_mode_among_many_is_not_lost(tmp_path: Path) -> None:
    """More alternatives than are told apart: what is wrong in one of the first is found all the same."""
    modes = "\n".join(
        f'        if self.kind == "{name}":\n            return x * {place}'
        for place, name in enumerate("abcdefgh", 2)
    )
    source = f"""
import torch
from torch import nn

class Critic(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(20, 1)

    def activate(self, x):
        if self.kind == "log":
            return x.sigmoid().log()
{modes}
        return x

    def forward(self, x):
        return self.activate(self.layer(x)).view(-1)
"""
    assert found(tmp_path, model=source) == ["LA402"]


def test_of_one_output_without_a_softmax_one_thing_is_said(tmp_path: Path) -> None:
    source = """
    from keras import Sequential
    from keras.layers import Dense

    model = Sequential([Dense(8, activation="relu", input_shape=(13,)), Dense({units})])
    model.compile(loss="categorical_crossentropy", optimizer="adam")
    """
    assert found(tmp_path, model=dedent(source).format(units=1)) == ["LA110"]
    assert found(tmp_path, model=dedent(source).format(units=3)) == ["LA113"]


def test_a_gradient_that_somebody_wrote(tmp_path: Path) -> None:
    """The root of an ``autograd.Function`` has no gradient of its own; what overflows there overflows all the same."""
    source = """
    import torch
    from torch import nn

    class Distance({base}):
        @staticmethod
        def forward(ctx, x, y):
            distance = torch.sqrt(((x - y) ** 2).sum(-1))
            ctx.save_for_backward(x, y, distance)
            return distance.mean()

    class CrossEntropy({base}):
        @staticmethod
        def forward(ctx, scores, labels):
            probabilities = torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)
            return -probabilities.log()[range(len(labels)), labels].mean()
    """
    assert found(tmp_path, loss=dedent(source).format(base="torch.autograd.Function")) == ["LA403", "LA401"]
    assert found(tmp_path, loss=dedent(source).format(base="nn.Module")) == ["LA408", "LA403", "LA401"]
