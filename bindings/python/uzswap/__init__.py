"""Memory that may be larger than the RAM it takes, for Python: libuzswap's Region by ctypes.

    import uzswap
    region = uzswap.Region(4 << 30, memory=1 << 30, backing="/var/tmp")
    numbers = region.array((1 << 29,), "int64")         # numpy
    matrix = uzswap.array((20000, 20000), "float64", memory=1 << 30)

A region is ordinary memory: pages that were not used for a while are compressed, and come back when
they are touched. Arrays keep their region alive. What needs care:

- A system call (file.write, readinto, send) fails with EFAULT, or does a part only, where a page is
  not in memory. Pin it first: `with region.pinned(numbers[:4096]): file.write(numbers[:4096])`.
- A forked child does not have the region: a touch ends it with SIGSEGV. Use threads, or the start
  method "spawn" of multiprocessing.
- A handler of SIGBUS has to be installed before the first region is made, and must not be removed
  after that: `faulthandler.enable()` comes first, and `faulthandler.disable()` not at all.

Errors: ValueError for an option that makes no sense, OSError for what the kernel or the disk
refuses, MemoryError if too much is pinned.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import operator
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

__all__ = ["Region", "array", "version"]

_OK, _FULL, _IO_ERROR, _BAD_OPTION = 0, 2, 4, 6
_ANY_CONTIGUOUS = 0x98  # PyBUF_ANY_CONTIGUOUS: of a reader, in C or Fortran order
_COMPRESSION = {"auto": 0, "lz4": 1, "zstd": 2}
_ADVICE = {"will_need": 0, "cold": 1}


class _Options(ctypes.Structure):
    _fields_ = (
        ("struct_bytes", ctypes.c_size_t),
        ("size", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_uint64),
        ("backing", ctypes.c_char_p),
        ("backing_bytes", ctypes.c_uint64),
        ("compression", ctypes.c_uint32),
        ("encrypt", ctypes.c_uint32),
    )


class _Statistics(ctypes.Structure):
    _fields_ = (
        ("struct_bytes", ctypes.c_size_t),
        *(
            (name, ctypes.c_uint64)
            for name in (
                *("resident_bytes", "compressed_bytes", "stored_pages", "disk_bytes"),
                *("pinned_pages", "faults", "first_touches", "faults_from_disk", "over_budget"),
            )
        ),
    )


class _Buffer(ctypes.Structure):
    """Py_buffer of CPython."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("object", ctypes.py_object),
        ("bytes", ctypes.c_ssize_t),
        ("rest", ctypes.c_ubyte * 128),
    )


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ.get("UZSWAP_LIBRARY", "libuzswap.so.0"))
    pointer, size, status = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for name, result, arguments in (
        ("uzswap_region_open", status, (ctypes.POINTER(_Options), ctypes.POINTER(pointer))),
        ("uzswap_region_close", None, (pointer,)),
        ("uzswap_region_data", pointer, (pointer,)),
        ("uzswap_region_size", ctypes.c_uint64, (pointer,)),
        ("uzswap_region_pin", status, (pointer, pointer, size, ctypes.POINTER(pointer))),
        ("uzswap_pin_release", None, (pointer,)),
        ("uzswap_region_advise", None, (pointer, pointer, size, ctypes.c_int)),
        ("uzswap_region_discard", None, (pointer, pointer, size)),
        ("uzswap_region_get_statistics", None, (pointer, ctypes.POINTER(_Statistics))),
        ("uzswap_error_text", ctypes.c_char_p, ()),
        ("uzswap_error_number", ctypes.c_int, ()),
        ("uzswap_version", ctypes.c_char_p, ()),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


_library = _load()


def version() -> str:
    """Of the library."""
    return str(_library.uzswap_version().decode())


def _number(value: Any, what: str) -> int:
    number = operator.index(value)
    if number < 0 or number >= 1 << 64:
        raise ValueError(f"{what}: {number} is no size")
    return number


def _shape(shape: Any) -> tuple[int, ...]:
    try:
        return (_number(shape, "shape"),)
    except TypeError:
        return tuple(_number(one, "shape") for one in shape)


def _fail(status: int) -> None:
    text = _library.uzswap_error_text().decode()
    if status == _BAD_OPTION:
        raise ValueError(text)
    raise OSError(_library.uzswap_error_number(), text)


class Region:
    """`size` bytes of memory, of which at most `memory` bytes are in RAM, compressed ones included.

    backing     a folder, file or block device for the coldest pages; compressed there too
    It is released when neither it nor an array or memoryview of it is used any more.
    """

    def __init__(
        self,
        size: int,
        memory: int,
        *,
        backing: str | os.PathLike[str] | None = None,
        backing_bytes: int = 0,
        compression: str = "auto",
        encrypt: bool = False,
    ) -> None:
        if compression not in _COMPRESSION:
            raise ValueError(f"compression: one of {', '.join(_COMPRESSION)}")
        if backing is not None and (not os.fspath(backing) or "\0" in os.fspath(backing)):
            raise ValueError("backing: not a path")
        path = None if backing is None else os.fsencode(os.path.abspath(backing))
        options = _Options(
            ctypes.sizeof(_Options), _number(size, "size"), _number(memory, "memory"), path,
            _number(backing_bytes, "backing_bytes"), _COMPRESSION[compression], int(encrypt),
        )  # fmt: skip
        handle = ctypes.c_void_p()
        status = _library.uzswap_region_open(ctypes.byref(options), ctypes.byref(handle))
        if status != _OK:
            _fail(status)
        self._owner = _Owner(handle)

    @property
    def size(self) -> int:
        return int(_library.uzswap_region_size(self._owner.handle))

    def buffer(self, offset: int = 0, size: int | None = None) -> memoryview:
        """The bytes of the region, or of a part of it."""
        offset = _number(offset, "offset")
        size = self.size - offset if size is None else _number(size, "size")
        if size < 0 or offset + size > self.size:
            raise ValueError("the range is not in the region")
        start = self._owner.start + offset
        # The memory object keeps its owner, and with it the region.
        memory = (ctypes.c_ubyte * size).from_address(start)
        memory._uzswap_owner = self._owner  # type: ignore[attr-defined]
        return memoryview(memory).cast("B")

    def array(
        self, shape: Any, dtype: Any = "float64", offset: int = 0
    ) -> numpy.ndarray[Any, Any]:
        """A numpy array in the region, from byte `offset` on. Its content is what is there: zeroes
        at first."""
        import numpy

        kind = numpy.dtype(dtype)
        if kind.hasobject or kind.itemsize == 0 or kind.subdtype is not None:
            raise ValueError(f"arrays of {kind} are not supported")
        shape = _shape(shape)
        content = self.buffer(offset, math.prod(shape) * kind.itemsize)
        return numpy.frombuffer(content, dtype=kind).reshape(shape)

    @contextlib.contextmanager
    def pinned(self, part: Any) -> Iterator[None]:
        """While it lasts, the pages of `part` (an array, memoryview or other buffer in the region)
        stay in memory, and system calls may use them."""
        pin = _Pin(self._owner)
        try:
            pin.hold(*self._range_of(part))
            yield
        finally:
            pin.release()

    def advise(self, part: Any, advice: str) -> None:
        """`will_need`: bring it into memory now, as far as there is room. `cold`: reclaim it."""
        if advice not in _ADVICE:
            raise ValueError(f"advice: one of {', '.join(_ADVICE)}")
        _library.uzswap_region_advise(
            self._owner.handle, *self._range_of(part), _ADVICE[advice]
        )

    def discard(self, part: Any) -> None:
        """The whole pages of `part` read as zeroes afterwards, and take no memory."""
        _library.uzswap_region_discard(self._owner.handle, *self._range_of(part))

    def statistics(self) -> dict[str, int]:
        counted = _Statistics(ctypes.sizeof(_Statistics))
        _library.uzswap_region_get_statistics(self._owner.handle, ctypes.byref(counted))
        return {name: int(getattr(counted, name)) for name, _ in _Statistics._fields_[1:]}

    def _range_of(self, part: Any) -> tuple[int, int]:
        buffer = _Buffer()
        access = ctypes.pythonapi.PyObject_GetBuffer
        access(ctypes.py_object(part), ctypes.byref(buffer), ctypes.c_int(_ANY_CONTIGUOUS))
        try:
            start, size = buffer.start or 0, buffer.bytes
        finally:
            ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
        if size == 0:
            return self._owner.start, 0
        if start < self._owner.start or start + size > self._owner.start + self.size:
            raise ValueError("the part is not in this region")
        return start, size


class _Owner:
    """Closes the region when the last one that refers to it is gone, and its last pin is released;
    not in a forked child, which does not have it. Finalizers run in any order, also the library's
    functions may be gone by then: both keep what they need."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self._open: ctypes.c_void_p | None = handle
        self.start = int(_library.uzswap_region_data(handle))
        self.pins = 0
        self._unused = False
        self._process = os.getpid()
        self._close = _library.uzswap_region_close
        self._getpid = os.getpid

    @property
    def handle(self) -> ctypes.c_void_p:
        if self._open is None:
            raise ValueError("the region is closed")
        return self._open

    def is_here(self) -> bool:
        return bool(self._getpid() == self._process)

    def close_if_unused(self) -> None:
        if not self._unused or self.pins > 0 or self._open is None or not self.is_here():
            return
        handle, self._open = self._open, None
        self._close(handle)

    def __del__(self) -> None:
        self._unused = True
        self.close_if_unused()


class _Pin:
    def __init__(self, owner: _Owner) -> None:
        self._handle = ctypes.c_void_p()
        self._release = _library.uzswap_pin_release
        self._owner: _Owner | None = owner
        owner.pins += 1

    def hold(self, start: int, size: int) -> None:
        assert self._owner is not None
        where = ctypes.byref(self._handle)
        status = _library.uzswap_region_pin(self._owner.handle, start, size, where)
        if status == _FULL:
            raise MemoryError("pinned pages would take more than three quarters of the memory")
        if status == _IO_ERROR:
            raise OSError(errno.EIO, "a page cannot be read back")

    def release(self) -> None:
        owner, self._owner = self._owner, None
        if owner is None:
            return
        if owner.is_here():
            self._release(self._handle)
        owner.pins -= 1
        owner.close_if_unused()

    def __del__(self) -> None:
        self.release()


def array(
    shape: Any, dtype: Any = "float64", *, memory: int, **options: Any
) -> numpy.ndarray[Any, Any]:
    """A numpy array of zeroes in a region of its own; `options` are those of Region."""
    import numpy

    shape = _shape(shape)
    size = max(1, math.prod(shape) * numpy.dtype(dtype).itemsize)
    return Region(size, memory, **options).array(shape, dtype)
