"""Eight floats at a time in Numba kernels, as LLVM's own vectors: one AVX register, two of SSE or NEON.

Whether LLVM makes vectors of a scalar loop hangs by a thread (experiments: raster-buffers), and it never keeps sums in
registers over loops in loops. In kernels: `lanes(x)` repeats a float32, `load` and `store` move eight neighbours of a
flat array, `+ - * /` take lanes and float32 alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
infer_global: Any = templates.infer_global
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTS, _BITS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES), ir.VectorType(ir.IntType(1), LANES)


class Lanes(types.Type):
    """Eight float32."""

    def __init__(self) -> None:
        super().__init__("lanes")


class Mask(types.Type):
    """Eight truths."""

    def __init__(self) -> None:
        super().__init__("mask")


LANES_TYPE, MASK_TYPE = Lanes(), Mask()


def _intrinsic(function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`; called without its first argument."""
    return intrinsic(function)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _BITS)


def _repeated(builder, value, of):
    """A vector of one value."""
    one = builder.insert_element(ir.Constant(of, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(one, one, ir.Constant(_INTS, [0] * LANES))


def _both(builder, kinds, values):
    return [v if isinstance(k, Lanes) else _repeated(builder, v, _VECTOR) for k, v in zip(kinds, values, strict=True)]


def _operator(symbol, instruction: str) -> None:
    @infer_global(symbol)
    class Typed(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and LANES_TYPE in args and all(a in (LANES_TYPE, types.float32) for a in args):
                return signature(LANES_TYPE, *args)
            return None

    def lower(context, builder, sig, args):
        return getattr(builder, instruction)(*_both(builder, sig.args, args))

    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_symbol, _instruction)
    if _symbol is not operator.truediv:
        _operator(getattr(operator, f"i{_symbol.__name__}"), _instruction)


def _compare(symbol, sign: str) -> None:
    @infer_global(symbol)
    class Typed(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and LANES_TYPE in args and all(a in (LANES_TYPE, types.float32) for a in args):
                return signature(MASK_TYPE, *args)
            return None

    def lower(context, builder, sig, args):
        return builder.fcmp_ordered(sign, *_both(builder, sig.args, args))

    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _sign in ((operator.lt, "<"), (operator.gt, ">"), (operator.ge, ">="), (operator.le, "<=")):
    _compare(_symbol, _sign)


@infer_global(operator.and_)
class _And(AbstractTemplate):
    def generic(self, args, kws):
        return signature(MASK_TYPE, *args) if tuple(args) == (MASK_TYPE, MASK_TYPE) else None


@lower_builtin(operator.and_, Mask, Mask)
def _lower_and(context, builder, sig, args):
    return builder.and_(*args)


@_intrinsic
def lanes(typing, value):
    """Eight times a float32."""
    return signature(LANES_TYPE, types.float32), lambda context, builder, sig, args: _repeated(
        builder, args[0], _VECTOR
    )


@_intrinsic
def ramp(typing):
    """0, 1, ... 7."""
    return signature(LANES_TYPE), lambda context, builder, sig, args: ir.Constant(
        _VECTOR, [float(k) for k in range(LANES)]
    )


def _address(context, builder, kind, array, at, vector):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


@_intrinsic
def load(typing, array, at):
    """Eight neighbours of a flat float32 array [N], from a place on that is a number of 64 bits."""

    def lower(context, builder, sig, args):
        return builder.load(_address(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=4)

    return signature(LANES_TYPE, array, types.intp), lower


@_intrinsic
def store(typing, array, at, value):
    """The opposite of `load`."""

    def lower(context, builder, sig, args):
        builder.store(args[2], _address(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=4)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, LANES_TYPE), lower


@_intrinsic
def repeat(typing, array, at):
    """Eight times one number of a flat float32 array."""

    def lower(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return _repeated(builder, builder.load(builder.gep(data, [args[1]])), _VECTOR)

    return signature(LANES_TYPE, array, types.intp), lower


@_intrinsic
def prefetch(typing, table, row):
    """Asks for the first bytes of a row of a contiguous array [N, K] that will be read soon."""

    def lower(context, builder, sig, args):
        of = context.make_array(sig.args[0])(context, builder, args[0])
        width = builder.extract_value(of.shape, 1)
        place = builder.bitcast(builder.gep(of.data, [builder.mul(args[1], width)]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, _INT, _INT, _INT])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(ask, [place, ir.Constant(_INT, 0), ir.Constant(_INT, 3), ir.Constant(_INT, 1)])
        return context.get_dummy_value()

    return signature(types.void, table, types.intp), lower


@_intrinsic
def select(typing, mask, yes, no):
    """yes where the mask is true, no elsewhere."""
    kinds = MASK_TYPE, yes, no

    def lower(context, builder, sig, args):
        return builder.select(args[0], *_both(builder, sig.args[1:], args[1:]))

    return signature(LANES_TYPE, *kinds), lower


# 2^f for f in -1/2 ... 1/2 within 3e-6, by minimax; and what added to a number leaves it rounded, its last bits the
# whole number.
_POWERS = (0.999999191, 0.693121968, 0.240249811, 0.0559170392, 0.00956051021)
_ROUND = 1.5 * 2.0**23


@_intrinsic
def power_of_two(typing, value):
    """2^x of each, within 3e-6 of it, for x in -126 ... 127."""

    def lower(context, builder, sig, args):
        rounding = ir.Constant(_VECTOR, [_ROUND] * LANES)
        rounded = builder.fadd(args[0], rounding, flags=("nsz",))
        rest = builder.fsub(args[0], builder.fsub(rounded, rounding, flags=("nsz",)))
        factors = [ir.Constant(_VECTOR, [factor] * LANES) for factor in _POWERS]
        found = factors[-1]
        for factor in reversed(factors[:-1]):
            found = builder.fadd(builder.fmul(found, rest), factor)
        # Into the exponent.
        whole = builder.shl(builder.bitcast(rounded, _INTS), ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(found, _INTS), whole), _VECTOR)

    return signature(LANES_TYPE, LANES_TYPE), lower


@_intrinsic
def least(typing, first, second):
    """The lesser of each pair."""

    def lower(context, builder, sig, args):
        a, b = _both(builder, sig.args, args)
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    return signature(LANES_TYPE, first, second), lower


@_intrinsic
def most(typing, first, second):
    """The greater of each pair."""

    def lower(context, builder, sig, args):
        a, b = _both(builder, sig.args, args)
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return signature(LANES_TYPE, first, second), lower


@_intrinsic
def root(typing, value):
    """The square root of each."""

    def lower(context, builder, sig, args):
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32"), args)

    return signature(LANES_TYPE, LANES_TYPE), lower


@_intrinsic
def totals(typing, a, b, c, d, e, f, g, h):
    """The sum of each of eight lanes, as lanes: always in the same order, neighbours first."""

    def lower(context, builder, sig, args):
        of = list(args)
        for step in (1, 2, 4):
            # Of each two, what has this bit of its place and what has not.
            pairs = zip(of[: len(of) // 2], of[len(of) // 2 :], strict=True)
            of = [_folded(builder, x, y, step) for x, y in pairs]
        return builder.shuffle_vector(of[0], of[0], ir.Constant(_INTS, _ORDER))

    return signature(LANES_TYPE, *(LANES_TYPE,) * LANES), lower


def _folded(builder, x, y, step):
    """Each two lanes of x that are `step` apart added up, and of y beside them."""
    low = [k if not k & step else LANES + k - step for k in range(LANES)]
    high = [k + step if not k & step else LANES + k for k in range(LANES)]
    halves = (builder.shuffle_vector(x, y, ir.Constant(_INTS, places)) for places in (low, high))
    return builder.fadd(*halves)


def _order() -> list[int]:
    """In which lane `totals` leaves the sum of each, by adding up their names."""
    names = [[k] * LANES for k in range(LANES)]
    for step in (1, 2, 4):
        pairs = zip(names[: len(names) // 2], names[len(names) // 2 :], strict=True)
        names = [[x[k] if not k & step else y[k] for k in range(LANES)] for x, y in pairs]
    return [names[0].index(k) for k in range(LANES)]


_ORDER = _order()


@_intrinsic
def lane(typing, value, which):
    """One of them."""

    def lower(context, builder, sig, args):
        return builder.extract_element(args[0], builder.trunc(args[1], _INT))

    return signature(types.float32, LANES_TYPE, types.intp), lower


@_intrinsic
def bits_of(typing, mask):
    """A number whose bits are the truths, the first the lowest."""

    def lower(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))

    return signature(types.uint64, MASK_TYPE), lower


@_intrinsic
def lowest(typing, bits):
    """The place of the lowest bit of a number that is not 0."""

    def lower(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature(types.intp, types.uint64), lower


@_intrinsic
def any_of(typing, mask):
    """Whether one is true."""

    def lower(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return cgutils.is_not_null(builder, bits)

    return signature(types.boolean, MASK_TYPE), lower
