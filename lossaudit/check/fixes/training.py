"""Rewrites of training steps and of how losses are averaged."""

from __future__ import annotations

import ast

from lossaudit.check.fixes.flow import assigned_name, keeps_value, reads
from lossaudit.check.fixes.losses import set_keyword
from lossaudit.check.fixes.make import Desk, Draft, rewrite
from lossaudit.check.fixes.remedy import Remedy
from lossaudit.check.fixes.text import Text, Unclear
from lossaudit.check.values import Site
from lossaudit.findings import Edit


def method_call(text: Text, site: Site, *names: str) -> tuple[ast.Call, ast.Attribute]:
    """A call of one of the methods ``names`` on a value."""
    call = text.node(site.node, ast.Call)
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr in names and not text.is_imported(func):
        return call, func
    raise Unclear


@rewrite("reduce-before-backward")
def reduce_before_backward(desk: Desk, remedy: Remedy) -> Draft:
    """``loss.backward()`` becomes ``loss.mean().backward()``. Sites: the call."""
    (site,) = remedy.sites
    text = desk.text(site)
    _, func = method_call(text, site, "backward")
    return Draft("Take the mean first", (text.insert(text.dot(func), ".mean()"),))


@rewrite("divide-before-backward")
def divide_before_backward(desk: Desk, remedy: Remedy) -> Draft:
    """``loss.backward()`` becomes ``(loss / k).backward()``, k as in ``if (i + 1) % k == 0``. Sites: the call, the step."""
    site, step = remedy.sites
    if step.path != site.path:
        raise Unclear
    text = desk.text(site)
    _, func = method_call(text, site, "backward")
    every = _divisor(text, text.node(step.node, ast.Call))
    value = func.value
    edits = (
        text.insert(text.start(value), "("),
        text.insert(text.end(value), f" / {every})"),
    )
    return Draft(f"Divide the loss by `{every}`", edits)


def _divisor(text: Text, step: ast.Call) -> str:
    """The number of micro-batches: what a condition around the step divides by."""
    found: set[str] = set()
    for one in text.ancestors(step):
        if isinstance(one, ast.If):
            for node in ast.walk(one.test):
                is_rest = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
                if (
                    is_rest
                    and isinstance(node, ast.BinOp)
                    and isinstance(node.right, (ast.Name, ast.Attribute, ast.Constant))
                ):
                    found.add(text.source(node.right))
    if len(found) != 1:
        raise Unclear
    return found.pop()


@rewrite("detach-kept-loss")
def detach_kept_loss(desk: Desk, remedy: Remedy) -> Draft:
    """What is added to a running total, or kept in a list, is detached. Sites: the accumulation, the loss."""
    site, loss = remedy.sites
    text = desk.text(site)
    kept = _kept(text, site)
    names = _names_of(text, kept, loss) if loss.path == site.path else []
    value = names[0] if len(names) == 1 else kept
    if isinstance(value, (ast.Tuple, ast.List, ast.Dict, ast.Constant)):
        raise Unclear
    return Draft("Keep it without its graph: `.detach()`", text.append_method(value, ".detach()"))


def _kept(text: Text, site: Site) -> ast.expr:
    """The expression that an accumulation adds to what it holds already."""
    statement = text.statement(text.node(site.node, ast.AST))
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        value = statement.value
        is_one = isinstance(value, ast.List) and len(value.elts) == 1
        return value.elts[0] if is_one and isinstance(value, ast.List) else value
    if isinstance(statement, ast.Expr):
        call, _ = method_call(text, site, "append")
        if len(call.args) == 1 and call is statement.value:
            return call.args[0]
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.BinOp):
        value, target = statement.value, ast.unparse(statement.targets[0])
        if isinstance(value.op, ast.Add) and len(statement.targets) == 1:
            if ast.unparse(value.left) == target:
                return value.right
            if ast.unparse(value.right) == target:
                return value.left
    raise Unclear


def _names_of(text: Text, kept: ast.expr, loss: Site) -> list[ast.Name]:
    """Where ``kept`` reads the name that the loss was assigned to."""
    try:
        named = assigned_name(text, text.node(loss.node, ast.Call))
    except Unclear:
        return []
    if named is None:
        return []
    found = [one for one in ast.walk(kept) if isinstance(one, ast.Name) and one.id == named[0]]
    is_plain = all(isinstance(text.parent(one), ast.BinOp) or one is kept for one in found)
    return found if is_plain else []


# Means ---------------------------------------------------------------------------------------------------------------


@rewrite("sum-over-classes")
def sum_over_classes(desk: Desk, remedy: Remedy) -> Draft:
    """``x.mean()`` becomes ``x.sum(dim=1).mean()``, and ``x.mean(dim=1)`` becomes ``x.sum(dim=1)``; ``axis`` outside of PyTorch.

    Sites: the mean. Words: the dimension of the classes.
    """
    (site,) = remedy.sites
    (dim,) = remedy.words
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    func = call.func
    if (
        isinstance(func, ast.Attribute)
        and func.attr == "mean"
        and (call.args or call.keywords)
        and not text.dotted(func)
    ):
        end = text.end(func)
        return Draft("Sum over the classes", (text.replace(end - len("mean"), end, "sum"),))
    total = f".sum({_dimension_word(text)}={dim})"
    if isinstance(func, ast.Attribute) and func.attr == "mean" and not text.is_imported(func):
        return Draft("Sum over the classes first", (text.insert(text.dot(func), total),))
    if text.dotted(func) == "torch.mean" and len(call.args) == 1 and not call.keywords:
        return Draft("Sum over the classes first", text.append_method(call.args[0], total))
    raise Unclear


def _dimension_word(text: Text) -> str:
    """How methods of a tensor name a dimension, if the tensors of the file can be of one framework only."""
    others = any(text.imports(package) for package in ("jax", "paddle", "tensorflow", "keras"))
    if others and text.imports("torch"):
        raise Unclear
    return "axis" if others else "dim"


@rewrite("mean-over-mask")
def mean_over_mask(desk: Desk, remedy: Remedy) -> Draft:
    """``(loss * mask).mean()`` becomes ``(loss * mask).sum() / mask.expand_as(loss).sum().clamp(min=1)``.

    Sites: the mean. Words: ``input`` or ``other``, the side of the product on which the mask stands.
    """
    (site,) = remedy.sites
    text = desk.text(site)
    call = text.node(site.node, ast.Call)
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr != "mean" or call.keywords:
        raise Unclear
    if _dimension_word(text) != "dim":
        raise Unclear  # `expand_as` and `clamp` are PyTorch's
    is_function = text.dotted(func) == "torch.mean"
    if len(call.args) != is_function or (text.is_imported(func) and not is_function):
        raise Unclear
    averaged = call.args[0] if is_function else func.value
    product = _product(text, averaged)
    mask, loss = (
        (product.left, product.right) if remedy.words == ("input",) else (product.right, product.left)
    )
    whole = averaged if isinstance(averaged, ast.Name) else loss
    if not (isinstance(mask, ast.Name) and isinstance(whole, ast.Name)) or not keeps_value(
        text, mask, product, call
    ):
        raise Unclear
    end = text.end(func)
    needs = not isinstance(text.parent(call), (ast.Assign, ast.Return))
    opening, closing = ("(", ")") if needs else ("", "")
    edits = (
        text.insert(text.start(call), opening),
        text.replace(end - len("mean"), end, "sum"),
        text.insert(text.end(call), f" / {mask.id}.expand_as({whole.id}).sum().clamp(min=1){closing}"),
    )
    return Draft("Divide by what the mask keeps", edits)


def _product(text: Text, node: ast.expr) -> ast.BinOp:
    """A product in place, or one that the name was bound to."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node
    if isinstance(node, ast.Name):
        for one in ast.walk(text.scope(node)):
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult):
                named = assigned_name(text, one)
                if named is not None and named[0] == node.id and node in reads(text, *named):
                    return one
    raise Unclear


@rewrite("drop-division")
def drop_division(desk: Desk, remedy: Remedy) -> Draft:
    """``loss / n`` becomes ``loss``. Sites: the division."""
    (site,) = remedy.sites
    text = desk.text(site)
    try:
        node = text.node(site.node, ast.BinOp)
    except Unclear:
        statement = text.node(site.node, ast.AugAssign)
        if not isinstance(statement.op, ast.Div):
            raise
        return Draft("Drop the division", (text.delete_lines(statement),))
    if not isinstance(node.op, ast.Div):
        raise Unclear
    named = assigned_name(text, node)
    if named is not None and isinstance(node.left, ast.Name) and node.left.id == named[0]:
        return Draft("Drop the division", (text.delete_lines(named[1]),))
    return Draft("Drop the division", text.unwrap(node, node.left))


@rewrite("register-buffer")
def register_buffer(desk: Desk, remedy: Remedy) -> Draft:
    """``self.weight = tensor`` becomes ``self.register_buffer("weight", tensor)``. Sites: the assignment."""
    (site,) = remedy.sites
    text = desk.text(site)
    target = text.node(site.node, ast.Attribute)
    statement = text.parent(target)
    if not isinstance(statement, ast.Assign):
        raise Unclear
    if len(statement.targets) != 1 or not isinstance(target.value, ast.Name):
        raise Unclear
    owner = next((one for one in text.ancestors(statement) if isinstance(one, ast.ClassDef)), text.tree)
    stores = [
        one
        for one in ast.walk(owner)
        if isinstance(one, ast.Attribute) and one.attr == target.attr and isinstance(one.ctx, ast.Store)
    ]
    if (
        len(stores) != 1
        or not _is_after_base(text, statement)
        or isinstance(statement.value, (ast.Tuple, ast.Starred))
    ):
        raise Unclear
    opening = f'{text.source(target.value)}.register_buffer("{target.attr}", '
    edits = (
        text.replace(text.start(statement), text.start(statement.value), opening),
        text.insert(text.end(statement.value), ")"),
    )
    if text.text[text.start(statement) : text.start(statement.value)].count("("):
        raise Unclear
    return Draft("Register it as a buffer", edits)


def _is_after_base(text: Text, statement: ast.stmt) -> bool:
    """Whether the constructor of the base has run: a module keeps no buffers before that."""
    for node in ast.walk(text.scope(statement)):
        func = node.func if isinstance(node, ast.Call) else None
        if isinstance(func, ast.Attribute) and func.attr == "__init__":
            return text.start(func) < text.start(statement)
    return False


# Focal losses --------------------------------------------------------------------------------------------------------


@rewrite("modulate-each-sample")
def modulate_each_sample(desk: Desk, remedy: Remedy) -> Draft:
    """The loss is left unreduced, and the modulated loss is reduced instead.

    Sites: the product, and where the loss gets its reduction. Words: ``mean`` or ``sum``, and whether that is an ``argument`` of
    the loss or an ``operation`` on it.
    """
    site, reducer = remedy.sites
    how, where = remedy.words
    text, other = desk.text(site), desk.text(reducer)
    if where == "argument":
        call = other.node(reducer.node, ast.Call)
        first: tuple[Edit, ...] = (set_keyword(desk, other, call, "reduction", '"none"'),)
    else:
        call, func = method_call(other, reducer, how)
        if call.args or call.keywords:
            raise Unclear
        first = other.unwrap(call, func.value)
    product: ast.expr = text.node(site.node, ast.BinOp)
    parent = text.parent(product)
    while isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult):
        product, parent = parent, text.parent(parent)
    return Draft("Reduce after the modulation", (*first, *_reduced(text, product, how)), elsewhere=True)


def _reduced(text: Text, product: ast.expr, how: str) -> tuple[Edit, ...]:
    """The reduction appended, unless the product is reduced already."""
    if isinstance(text.parent(product), ast.Attribute):
        if _is_reduced(text, product):
            return ()
        raise Unclear
    named = assigned_name(text, product)
    if named is not None:
        later = [_is_reduced(text, one) for one in reads(text, *named)]
        if later and all(later):
            return ()
        if any(later):
            raise Unclear
    elif not isinstance(text.parent(product), ast.Return):
        raise Unclear
    return text.append_method(product, f".{how}()")


def _is_reduced(text: Text, node: ast.expr) -> bool:
    """``node.mean()`` or ``node.sum()``."""
    attribute = text.parent(node)
    return (
        isinstance(attribute, ast.Attribute) and attribute.attr in ("mean", "sum") and attribute.value is node
    )
