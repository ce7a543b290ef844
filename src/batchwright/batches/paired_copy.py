"""One pass over n + 1 stored ids that writes n inputs and n targets: the one place where they are shifted.

    source   ␃ a b c ␃            inputs[i] = source[i]
    inputs   ␃ a b c              targets[i] = source[i + 1]
    targets    a b c ␃

Whole cache lines of the targets per turn, the ends one id at a time. A large batch is written past the cache, which
could not keep it and would first read from memory what is about to be overwritten.

Why not two loops of Python: the compiler must fear that the arrays overlap, and it has no words for writing past the
cache. Price: 10 % less time than those loops in the cache, up to 45 % less beyond it, for sixty lines below Python. The
caller has checked the bounds and that the three arrays lie apart.

Tried and slower at B = 512: ends as whole lines that overlap their neighbours; ends apart for either way of writing.
"""

from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types  # type: ignore[import-untyped]
from numba.extending import intrinsic  # type: ignore[import-untyped]
from numpy.typing import NDArray

from batchwright.foundation.compiled import hot_loop

LINE_BYTES = 64
_llvm, _numba_types, _loops = cast("Any", ir), cast("Any", types), cast("Any", cgutils)


def _declare(typing_context: Any, source: Any, inputs: Any, targets: Any, past_cache: Any) -> Any:
    """(ids, inputs, targets, whether to write past the cache) → nothing, for contiguous arrays of integers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args[:3]
        views = [
            context.make_array(kind)(context, builder, value) for kind, value in zip(kinds, arguments, strict=False)
        ]
        read, count = views[0].data, builder.extract_value(views[1].shape, 0)
        writes = views[1].data, views[2].data
        number, item_bytes = count.type, writes[0].type.pointee.width // 8
        lanes = LINE_BYTES // item_bytes

        def copy(first: Any, lanes: int, align: int, past_cache: bool) -> None:
            for shift, write in enumerate(writes):
                loaded = _load(builder, read, builder.add(first, number(shift)), lanes)
                _store(builder, loaded, write, first, align, past_cache)

        def copy_range(begin: Any, stop: Any, lanes: int, align: int = item_bytes, past_cache: bool = False) -> None:
            with _loops.for_range_slice(builder, begin, stop, number(lanes), inc=True) as (first, _):
                copy(first, lanes, align, past_cache)

        def offset(pointer: Any) -> Any:
            return builder.and_(builder.ptrtoint(pointer, number), number(LINE_BYTES - 1))

        missing = builder.and_(builder.neg(offset(writes[0])), number(LINE_BYTES - 1))
        head = builder.udiv(missing, number(item_bytes))
        head = builder.select(builder.icmp_signed("<", head, count), head, count)
        whole = builder.add(head, builder.and_(builder.sub(count, head), number(-lanes)))
        aligned = builder.icmp_signed("==", offset(writes[0]), offset(writes[1]))
        copy_range(number(0), head, 1)
        with builder.if_else(builder.and_(aligned, arguments[3])) as (past, through):
            with past:
                copy_range(head, whole, lanes, LINE_BYTES, True)
            with through:
                copy_range(head, whole, lanes)
        copy_range(whole, count, 1)
        return context.get_dummy_value()

    return _numba_types.void(source, inputs, targets, past_cache), generate


def _load(builder: Any, pointer: Any, first: Any, lanes: int) -> Any:
    """`lanes` items from pointer[first] on, aligned as their items are."""
    item = pointer.type.pointee
    block = _llvm.VectorType(item, lanes).as_pointer()
    return builder.load(builder.bitcast(builder.gep(pointer, [first]), block), align=item.width // 8)


def _store(builder: Any, loaded: Any, pointer: Any, first: Any, align: int, past_cache: bool) -> None:
    """Widened (ids are never negative) or narrowed (ids were checked against the dtype) to pointer's items."""
    item = pointer.type.pointee
    block = _llvm.VectorType(item, loaded.type.count)
    narrow = loaded.type.element.width
    if item.width != narrow:
        loaded = builder.zext(loaded, block) if item.width > narrow else builder.trunc(loaded, block)
    target = builder.bitcast(builder.gep(pointer, [first]), block.as_pointer())
    stored = builder.store(loaded, target, align=align)
    if past_cache:
        stored.set_metadata("nontemporal", builder.module.add_metadata([_llvm.Constant(_llvm.IntType(32), 1)]))


def _declare_settle(typing_context: Any) -> Any:
    """Nothing → nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return _numba_types.void(), generate


_copy_paired = cast("Any", intrinsic)(_declare)
_settle = cast("Any", intrinsic)(_declare_settle)


@hot_loop
def copy_paired(source: NDArray[Any], inputs: NDArray[Any], targets: NDArray[Any], past_cache: bool) -> None:
    """(n + 1,) ids → (n,) inputs and (n,) targets, all three apart in memory. Nothing is checked."""
    _copy_paired(source, inputs, targets, past_cache)


@hot_loop
def settle() -> None:
    """After writing past the cache: other threads and devices see all of it from here on."""
    _settle()


def copy_paired_reference(source: NDArray[Any], inputs: NDArray[Any], targets: NDArray[Any], past_cache: bool) -> None:
    """The same in numpy: what `copy_paired` is tested against."""
    inputs[...] = source[:-1].astype(inputs.dtype, copy=False)
    targets[...] = source[1:].astype(targets.dtype, copy=False)
