"""The part of Python's builtins and standard library through which values flow in training code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lossaudit.check.events import PartialCall
from lossaudit.check.infer import calls, objects
from lossaudit.check.infer.frame import Arguments, Frame
from lossaudit.check.infer.ops import apply_op, size_of
from lossaudit.check.infer.transfer import SLICE
from lossaudit.check.kinds import Dtype
from lossaudit.check.values import (
    ABSENT,
    NONE,
    UNKNOWN,
    ClassVal,
    Const,
    DictVal,
    External,
    Instance,
    ListVal,
    ModuleVal,
    Partial,
    Site,
    Super,
    Tensor,
    TupleVal,
    Union,
    Unknown,
    Value,
    alternatives,
    constant,
    fresh_ident,
    integer,
    join,
    number,
)

if TYPE_CHECKING:
    from lossaudit.check.infer.engine import Interpreter

Special = Callable[["Interpreter", Frame, Arguments, Site], Value]

MAX_RANGE = 64


def _super(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    receiver = frame.receiver
    owner = frame.function.owner if frame.function is not None else None
    if len(arguments.positional) == 2:
        after, receiver = arguments.positional
        owner = after if isinstance(after, ClassVal) else owner
    if receiver is None or owner is None:
        return UNKNOWN
    return Super(receiver, owner)


def _getattr(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    values = arguments.positional
    name = constant(values[1]) if len(values) > 1 else None
    if not isinstance(name, str):
        return UNKNOWN
    found = objects.get_attribute(interp, frame, values[0], name, site)
    if len(values) > 2 and isinstance(found, Unknown):
        return UNKNOWN
    return found


def _setattr(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    values = arguments.positional
    name = constant(values[1]) if len(values) == 3 else None
    if isinstance(name, str):
        objects.set_attribute(interp, frame, values[0], name, values[2], site)
    return NONE


def _hasattr(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    values = arguments.positional
    name = constant(values[1]) if len(values) == 2 else None
    if isinstance(name, str) and isinstance(values[0], Instance):
        owner = values[0]
        if name in owner.attrs or name in owner.bound or objects.lookup_class(owner.cls, name) is not None:
            return Const(value=True)
    return UNKNOWN


def _isinstance(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    if len(arguments.positional) != 2:
        return UNKNOWN
    value, wanted = (interp.force(one) for one in arguments.positional)
    options = wanted.items if isinstance(wanted, TupleVal) else (wanted,)
    verdicts = [_is_instance(interp, value, interp.force(option)) for option in options]
    if True in verdicts:
        return Const(value=True)
    return UNKNOWN if None in verdicts else Const(value=False)


_BUILTIN_TYPES: dict[str, tuple[type, ...]] = {
    "builtins.str": (str,), "builtins.int": (int,), "builtins.float": (float,), "builtins.bool": (bool,),
}  # fmt: skip
_CONTAINER_TYPES: dict[str, type[Value]] = {
    "builtins.tuple": TupleVal, "builtins.list": ListVal, "builtins.dict": DictVal,
}  # fmt: skip


def _is_instance(interp: Interpreter, value: Value, wanted: Value) -> bool | None:
    """Whether ``value`` is an instance of ``wanted``; None where that is open."""
    if isinstance(value, (Unknown, Union)) or not isinstance(wanted, (External, ClassVal)):
        return None
    if isinstance(wanted, External) and isinstance(value, Const) and wanted.name in _BUILTIN_TYPES:
        return isinstance(value.value, _BUILTIN_TYPES[wanted.name])
    if isinstance(wanted, External) and wanted.name in _CONTAINER_TYPES:
        return isinstance(value, _CONTAINER_TYPES[wanted.name]) or (
            None if isinstance(value, Instance) else False
        )
    if isinstance(value, Instance):
        bases = (value.cls,) if isinstance(value.cls, External) else value.cls.mro
        names = {base.name for base in bases if isinstance(base, External)}
        if isinstance(wanted, ClassVal):
            return wanted in bases
        return True if wanted.name in names else None
    if isinstance(value, Tensor):
        return _tensor_is(interp, value, wanted)
    return None


def _tensor_is(interp: Interpreter, value: Tensor, wanted: Value) -> bool | None:
    if not value.certain:
        return None
    if isinstance(wanted, External):
        if wanted.name in interp.contracts.tensor_types:
            return True
        return False if wanted.name.startswith("builtins.") else None
    return False


def _len(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    value = arguments.positional[0] if arguments.positional else UNKNOWN
    if isinstance(value, (TupleVal, ListVal)) and value.rest is None and not _may_lack(value):
        grows = isinstance(value, ListVal) and interp.heap.grows(value.items)
        return Unknown(origin="size") if grows else Const(len(value.items))
    if isinstance(value, Tensor) or (isinstance(value, Unknown) and (value.argument or value.data)):
        return size_of(value, 0, site)
    return Unknown(origin="size")


def _may_lack(value: TupleVal | ListVal) -> bool:
    """Whether one of the items is there on some paths only."""
    return any(one is ABSENT for item in value.items for one in alternatives(item))


def _range(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    bounds = [integer(value) for value in arguments.positional]
    known = [bound for bound in bounds if bound is not None]
    if not bounds or len(known) < len(bounds) or (len(known) == 3 and known[2] == 0):
        return ListVal([], rest=Unknown(origin="int"))
    numbers = range(*known)
    if len(numbers) > MAX_RANGE:
        return ListVal([], rest=Unknown(origin="int"))
    return ListVal([Const(value) for value in numbers])


def _enumerate(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    more = interp.elements(arguments.positional[0]) if arguments.positional else ListVal([], UNKNOWN)
    pairs: list[Value] = [TupleVal((Const(place), value)) for place, value in enumerate(more.items)]
    return ListVal(pairs, None if more.rest is None else TupleVal((Unknown(origin="int"), more.rest)))


def _zip(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    if arguments.open_from is not None:
        return _turned(
            [one for row in arguments.positional for one in alternatives(row) if one is not ABSENT]
        )
    columns = [interp.elements(value) for value in arguments.positional]
    if not columns:
        return ListVal([], UNKNOWN)
    if all(column.rest is None for column in columns):
        return ListVal([TupleVal(row) for row in zip(*(column.items for column in columns), strict=False)])
    return ListVal([], TupleVal(tuple(interp.any_element(column) for column in columns)))


def _turned(rows: list[Value]) -> Value:
    """``zip(*rows)`` of any number of records: a column for each field."""
    records = [row for row in rows if isinstance(row, TupleVal) and row.rest is None]
    widths = {len(record.items) for record in records}
    if len(records) < len(rows) or len(widths) != 1:
        return ListVal([], UNKNOWN)
    fields = zip(*(record.items for record in records), strict=True)
    return ListVal([TupleVal((), rest=join(field)) for field in fields])


def _listing(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    if not arguments.positional:
        return ListVal([])
    more = interp.elements(arguments.positional[0])
    return ListVal(list(more.items), more.rest)


def _tuple(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    more = interp.elements(arguments.positional[0]) if arguments.positional else ListVal([])
    return TupleVal(tuple(more.items), rest=more.rest)


def _reversed(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    more = interp.elements(arguments.positional[0]) if arguments.positional else ListVal([])
    return ListVal(list(reversed(more.items)), more.rest)


def _dict(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    out = DictVal({}, UNKNOWN if arguments.open_keywords else None)
    for value in arguments.positional:
        if isinstance(value, DictVal):
            out.entries |= value.entries
            out.rest = value.rest or out.rest
        else:
            _add_pairs(interp, out, value)
    out.entries.update(arguments.keywords.items())
    return out


def _add_pairs(interp: Interpreter, out: DictVal, value: Value) -> None:
    more = interp.elements(value)
    if more.rest is not None:
        out.rest = UNKNOWN
    for pair in more.items:
        parts = interp.elements(pair).items
        key = constant(parts[0]) if len(parts) == 2 else NotImplemented
        if key is not NotImplemented and isinstance(key, (str, int, bool)):
            out.entries[key] = parts[1]
        else:
            out.rest = UNKNOWN


def _partial(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    if not arguments.positional or arguments.is_open:
        return UNKNOWN
    interp.emit(
        PartialCall, lambda: PartialCall(site, frame.contexts, arguments.positional[0], arguments.keywords)
    )
    return Partial(arguments.positional[0], tuple(arguments.positional[1:]), dict(arguments.keywords))


def _map(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    if len(arguments.positional) != 2:
        return ListVal([], UNKNOWN)
    function, values = arguments.positional
    more = interp.elements(values)
    items = [calls.call_value(interp, frame, function, Arguments([value]), site) for value in more.items]
    rest = (
        None if more.rest is None else calls.call_value(interp, frame, function, Arguments([more.rest]), site)
    )
    return ListVal(items, rest)


def _sum(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    """``sum`` of a list is a chain of additions."""
    more = interp.elements(arguments.positional[0]) if arguments.positional else ListVal([])
    values = [*more.items, *([more.rest] if more.rest is not None else [])]
    if not values or len(values) > 16:
        return UNKNOWN
    total = values[0]
    for value in values[1:]:
        total = interp.binary(frame, "+", total, value, site)
    return total


def _next(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    return interp.any_element(interp.elements(arguments.positional[0])) if arguments.positional else UNKNOWN


def _drawn(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    """``random.sample(population, k)``: some of its elements."""
    more = interp.elements(arguments.positional[0]) if arguments.positional else ListVal([], UNKNOWN)
    return ListVal([], interp.any_element(more))


def _scalar(origin: str) -> Special:
    return lambda interp, frame, arguments, site: Unknown(origin=origin)


def _first(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    return arguments.positional[0] if arguments.positional else UNKNOWN


def _copied(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    """``copy.copy``, ``copy.deepcopy``: what is then done to the copy does not reach the original."""
    return _copy_of(arguments.positional[0], {}) if arguments.positional else UNKNOWN


def _copy_of(value: Value, made: dict[int, Value]) -> Value:
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, Unknown) and value.argument:
        return replace(value, argument="")
    if isinstance(value, Tensor):
        return replace(value, ident=fresh_ident())
    if isinstance(value, Union):
        return Union(tuple(_copy_of(one, made) for one in value.alternatives))
    if isinstance(value, TupleVal):
        return replace(value, items=tuple(_copy_of(one, made) for one in value.items))
    if isinstance(value, ListVal):
        made[id(value)] = many = ListVal([], value.rest)
        many.items += [_copy_of(one, made) for one in value.items]
        return many
    if isinstance(value, DictVal):
        made[id(value)] = table = DictVal({}, value.rest)
        table.entries |= {key: _copy_of(one, made) for key, one in value.entries.items()}
        return table
    return _copied_object(value, made) if isinstance(value, Instance) else value


def _copied_object(value: Instance, made: dict[int, Value]) -> Instance:
    made[id(value)] = twin = replace(value, attrs={}, items=None)
    twin.attrs |= {name: _copy_of(one, made) for name, one in value.attrs.items()}
    if value.items is not None:
        twin.items = [_copy_of(one, made) for one in value.items]
    return twin


def _type(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    value = arguments.positional[0] if len(arguments.positional) == 1 else UNKNOWN
    return value.cls if isinstance(value, Instance) else UNKNOWN


def _float(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    value = arguments.positional[0] if arguments.positional else UNKNOWN
    known = number(value)
    if known is not None:
        return Const(known)
    text = constant(value)
    if isinstance(text, str):
        return _parsed(text)
    if isinstance(value, Tensor):
        return _taken_out(interp, frame, value, Dtype.FLOAT, site)
    return Unknown(origin="float")


def _int(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    """A number taken out of a tensor keeps its term, so that a test of it is known as a test of the tensor."""
    value = arguments.positional[0] if len(arguments.positional) == 1 else UNKNOWN
    if isinstance(value, Tensor):
        return _taken_out(interp, frame, value, Dtype.INT, site)
    known = number(value)
    return Unknown(origin="int") if known is None else Const(int(known))


def _taken_out(interp: Interpreter, frame: Frame, value: Tensor, dtype: Dtype, site: Site) -> Value:
    """A number of Python that was made of a tensor of one element."""
    taken = apply_op(interp, frame, interp.contracts.ops["item"], {"input": value}, site)
    return replace(taken, dtype=dtype) if isinstance(taken, Tensor) else taken


def _parsed(text: str) -> Value:
    try:
        return Const(float(text))
    except ValueError:
        return UNKNOWN


def _namedtuple(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    spec = arguments.positional[1] if len(arguments.positional) > 1 else UNKNOWN
    text = constant(spec)
    if isinstance(text, str):
        names: tuple[object, ...] = tuple(text.replace(",", " ").split())
    else:
        names = tuple(constant(item) for item in interp.elements(spec).items)
    if not names or not all(isinstance(name, str) for name in names):
        return UNKNOWN
    return Partial(External(NAMED_TUPLE), (), {"fields": TupleVal(tuple(Const(name) for name in names))})


NAMED_TUPLE = "builtins.named tuple"


def _make_named(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    keywords = dict(arguments.keywords)
    fields = keywords.pop("fields")
    names = [str(constant(item)) for item in interp.elements(fields).items]
    given = dict(zip(names, arguments.certain_positional(), strict=False)) | keywords
    return TupleVal(tuple(given.get(name, UNKNOWN) for name in names), tuple(names))


def _defaultdict(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    return DictVal({}, UNKNOWN)


def _print(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    return NONE


def _chain(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    parts = [interp.elements(value) for value in arguments.positional]
    rests = [part.rest for part in parts if part.rest is not None]
    return ListVal([item for part in parts for item in part.items], join(rests) if rests else None)


def _import_module(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    name = constant(arguments.positional[0]) if len(arguments.positional) == 1 else None
    if not isinstance(name, str):
        return UNKNOWN
    module = interp.project.resolve(frame.module, name, 0)
    return External(name) if module is None else ModuleVal(module)


def _globals(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    return DictVal(dict(frame.module.scope.vars.items()))


def _device(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    """``torch.device("cuda:0")`` is as good as its name."""
    first = arguments.positional[0] if len(arguments.positional) == 1 else UNKNOWN
    return first if isinstance(constant(first), str) else Unknown(origin="torch.device")


def _slice(interp: Interpreter, frame: Frame, arguments: Arguments, site: Site) -> Value:
    values = [*arguments.positional, NONE, NONE, NONE][:3]
    if len(arguments.positional) == 1:
        values = [NONE, arguments.positional[0], NONE]
    return TupleVal(tuple(values), (SLICE,) * 3)


FUNCTIONS: dict[str, Special] = {
    "builtins.super": _super, "builtins.getattr": _getattr, "builtins.setattr": _setattr,
    "builtins.hasattr": _hasattr, "builtins.isinstance": _isinstance, "builtins.len": _len,
    "builtins.range": _range, "builtins.enumerate": _enumerate, "builtins.zip": _zip, "builtins.list": _listing,
    "builtins.set": _listing, "builtins.sorted": _listing, "builtins.tuple": _tuple, "builtins.dict": _dict,
    "builtins.iter": _first, "builtins.reversed": _reversed, "builtins.map": _map, "builtins.sum": _sum,
    "builtins.next": _next, "builtins.type": _type, "builtins.float": _float, "builtins.int": _int, "builtins.print": _print,
    "builtins.globals": _globals, "builtins.slice": _slice, "functools.partial": _partial,
    "collections.OrderedDict": _dict, "collections.namedtuple": _namedtuple,
    "collections.defaultdict": _defaultdict, "collections.deque": _listing, NAMED_TUPLE: _make_named,
    "itertools.chain": _chain, "itertools.cycle": _first, "copy.deepcopy": _copied, "copy.copy": _copied,
    "functools.wraps": lambda *_: External("functools.identity"), "functools.identity": _first,
    "tqdm.tqdm": _first, "tqdm.auto.tqdm": _first, "tqdm.notebook.tqdm": _first, "rich.progress.track": _first,
    "random.sample": _drawn, "random.choices": _drawn, "random.choice": _next, "random.randint": _scalar("int"),
    "random.randrange": _scalar("int"), "random.random": _scalar("float"), "random.uniform": _scalar("float"),
    "torch.device": _device, "importlib.import_module": _import_module, "typing.cast": lambda i, f, a, s: (a.positional or [UNKNOWN])[-1],
}  # fmt: skip
