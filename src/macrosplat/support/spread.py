"""A loop that several threads share, by Numba's own pool of threads.

Numba's `prange` does the same, but compiles each loop's body several times and reasons about arrays meanwhile
(experiments: compiling). Here a kernel is what one thread does of it, and a line that shares it out:

    @njit(part=True)
    def _double_some(begin, end, numbers):
        for i in range(begin, end):
            numbers[i] *= 2

    @njit
    def _double(team, count, *arguments):
        spread(_double_some, team, count, arguments)

    _double(team(), len(numbers), numbers)
"""

from __future__ import annotations

import functools
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing import templates
from numba.extending import intrinsic
from numba.np.ufunc import parallel

_WORD, _BYTES, _INT = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(32)
# What Numba's pools call, and how they are called (numba/np/ufunc/omppool.cpp, workqueue.c, tbbpool.cpp): for spans of
# the first dimension, with the arguments moved on by a step each. Here the one such argument points nowhere: where it
# has been moved to is the number of the span.
_ROLE = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _WORD.as_pointer(), _WORD.as_pointer(), _BYTES])
_POOL = ir.FunctionType(
    ir.VoidType(),
    [_BYTES, _BYTES.as_pointer(), _WORD.as_pointer(), _WORD.as_pointer(), _BYTES, _WORD, _WORD, _INT],
)


def team() -> tuple[int, int]:
    """Where the pool is called, and how many threads it has: for the first argument of a kernel."""
    pool, threads = _pool(), parallel._get_num_threads  # type: ignore[attr-defined]  # there once the pool is
    return pool, threads()


@functools.cache
def _pool() -> int:
    launch: Any = parallel._launch_threads
    launch()
    return llvmlite.binding.address_of_symbol("numba_parallel_for")


def _spread(typing, part, team, count, arguments):
    """In a kernel: `part(begin, end, *arguments)` by each thread of a team, whose spans together are 0 ... count."""
    chosen = typing.resolve_function_type(part, (types.intp, types.intp, *arguments.types), {})

    def lower(context, builder, sig, args):
        pool, threads = cgutils.unpack_tuple(builder, args[1])
        compiled = part.dispatcher.overloads[tuple(chosen.args)]
        context.add_linking_libs([compiled.library])
        # What all threads read.
        values = [threads, args[2], *cgutils.unpack_tuple(builder, args[3])]
        shared = cgutils.alloca_once(builder, ir.LiteralStructType([value.type for value in values]))
        for k, value in enumerate(values):
            builder.store(value, cgutils.gep_inbounds(builder, shared, 0, k))
        role = _role(context, builder.module, shared.type, compiled, chosen)
        nowhere, size, step = (cgutils.alloca_once(builder, of) for of in (_BYTES, _WORD, _WORD))
        for value, place in ((ir.Constant(_BYTES, None), nowhere), (threads, size), (_WORD(1), step)):
            builder.store(value, place)
        given = [builder.bitcast(role, _BYTES), nowhere, size, step, builder.bitcast(shared, _BYTES)]
        call = builder.inttoptr(pool, _POOL.as_pointer())
        builder.call(call, [*given, _WORD(0), _WORD(1), builder.trunc(threads, _INT)])
        return context.get_dummy_value()

    return templates.signature(types.void, part, team, types.intp, arguments), lower


def _role(context, module, shared, compiled, chosen):
    """The function that the pool calls: the parts of some threads, most often of one."""
    role = ir.Function(module, _ROLE, module.get_unique_name("role"))
    role.linkage = "internal"
    builder = ir.IRBuilder(role.append_basic_block())
    moved, sizes, _, given = role.args
    first = builder.ptrtoint(builder.load(moved), _WORD)
    given, fields = builder.bitcast(given, shared), range(len(shared.pointee.elements))
    threads, count, *values = (builder.load(cgutils.gep_inbounds(builder, given, 0, k)) for k in fields)
    bounds = first, builder.add(first, builder.load(sizes))
    span = [builder.udiv(builder.mul(count, bound), threads) for bound in bounds]
    # That no index is negative spares loops the wrapping of each, as Numba's unsigned ones do.
    assume = cgutils.get_or_insert_function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(1)]), "llvm.assume")
    builder.call(assume, [builder.icmp_signed(">=", span[0], _WORD(0))])
    context.call_internal_no_propagate(builder, compiled.fndesc, chosen, [*span, *values])
    builder.ret_void()
    return role


spread: Any = intrinsic(_spread)
