"""What the harness must know of the .tflite format: is a file whole, and where is its schema.

`verify` is pure and reads only the tables of a file, never the weights, so that it is cheap for big models. Rooms that
read models (``leadline.runner``, ``leadline.search.model``) call it first; after it the generated accessors of
`load_schema` are safe to use: no offset leads out of the file.

Source: the schema of the pinned runtime, ``ai_edge_litert/schema_py_generated.py``, and the FlatBuffers internals page
(https://flatbuffers.dev/internals/): a table starts with a signed offset back to its vtable, which holds its own size,
the table's size and the place of every field; strings, vectors and tables are reached by unsigned offsets forward.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from leadline.core.errors import BadInput
from leadline.core.text import printable

IDENTIFIER = b"TFL3"  # at bytes 4–8 of every .tflite file


@cache
def load_schema() -> ModuleType:
    """The generated FlatBuffers accessors of the pinned runtime, without starting the runtime itself (about 0.15 s).

    Raises: ModuleNotFoundError if ai-edge-litert is not installed: the installation is broken.
    """
    package = importlib.util.find_spec("ai_edge_litert")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "schema_py_generated.py"
        spec = importlib.util.spec_from_file_location("leadline_tflite_schema", path)
        if path.is_file() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ModuleNotFoundError("ai-edge-litert has no schema_py_generated.py; reinstall leadline")


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """The names of a schema enumeration by value, e.g. ``names_of("BuiltinOperator")[3] == "CONV_2D"``."""
    members = vars(getattr(load_schema(), enumeration)).items()
    return {value: name for name, value in members if isinstance(value, int)}


def verify(data: bytes | memoryview, name: str) -> None:
    """Check that `data` is a whole .tflite file that the pinned runtime's schema can describe.

    Checked: the identifier; that every table, string, vector and external buffer lies inside the file; that every index
    (of tensors, buffers, op codes, subgraphs) points at something; that every op is a known one. Not checked: that
    shapes, types and values make sense to a runtime, which only the runtime can say.

    Args: data: the whole file. name: what the user calls it, for messages.
    Raises: BadInput, and nothing else, naming the file and the first fault found.
    """
    if len(data) < 8 or bytes(data[4:8]) != IDENTIFIER:
        raise BadInput(f"{printable(name)}: not a TFLite model: {_first_fact(data)}; give a .tflite file")
    try:
        _verify_meaning(_Tables(data))
    except _Unsupported as fault:
        raise BadInput(f"{printable(name)}: unsupported op: {fault}; convert it for an older runtime") from None
    except _Broken as fault:
        raise BadInput(
            f"{printable(name)}: broken or truncated TFLite model: {fault}; copy or convert it anew"
        ) from None


def _first_fact(data: bytes | memoryview) -> str:
    if len(data) == 0:
        return "the file is empty"
    if len(data) < 8:
        return f"it has only {len(data)} bytes"
    return f"bytes 4–8 are {bytes(data[4:8])!r}, not {IDENTIFIER!r}"


class _Broken(Exception):
    """A fault inside the file, told without the file's name."""


class _Unsupported(Exception):
    """The file is whole, but newer than the schema."""


# The fields of every table that lead elsewhere or are read by us, by field id: a number is a scalar of so many bytes,
# "string", "vector N" (of N-byte scalars), "table T", "tables T" (vector of them), "union E" (of the enumeration E; the
# field before it holds the type). Fields not listed are scalars that nobody here reads.
_LAYOUT: dict[str, dict[int, str | int]] = {
    "Model": {
        0: 4,
        1: "tables OperatorCode",
        2: "tables SubGraph",
        3: "string",
        4: "tables Buffer",
        5: "vector 4",
        6: "tables Metadata",
        7: "tables SignatureDef",
        8: "tables ExternalBufferGroup",
        9: "tables ExternalBuffer",
    },
    "OperatorCode": {0: 1, 1: "string", 2: 4, 3: 4},
    "SubGraph": {0: "tables Tensor", 1: "vector 4", 2: "vector 4", 3: "tables Operator", 4: "string", 5: 4},
    "Tensor": {
        0: "vector 4",
        1: 1,
        2: 4,
        3: "string",
        4: "table QuantizationParameters",
        5: 1,
        6: "table SparsityParameters",
        7: "vector 4",
        8: 1,
        9: "tables VariantSubType",
        10: 4,
    },
    "QuantizationParameters": {
        0: "vector 4",
        1: "vector 4",
        2: "vector 4",
        3: "vector 8",
        4: 1,
        5: "union QuantizationDetails",
        6: 4,
    },
    "SparsityParameters": {0: "vector 4", 1: "vector 4", 2: "tables DimensionMetadata"},
    "DimensionMetadata": {0: 1, 1: 4, 2: 1, 3: "union SparseIndexVector", 4: 1, 5: "union SparseIndexVector"},
    "VariantSubType": {0: "vector 4", 1: 1, 2: 1},
    "Operator": {
        0: 4,
        1: "vector 4",
        2: "vector 4",
        3: 1,
        4: "union BuiltinOptions",
        5: "vector 1",
        6: 1,
        7: "vector 1",
        8: "vector 4",
        9: 8,
        10: 8,
        11: 1,
        12: "union BuiltinOptions2",
    },
    "Buffer": {0: "vector 1", 1: 8, 2: 8},
    "Metadata": {0: "string", 1: 4},
    "SignatureDef": {0: "tables TensorMap", 1: "tables TensorMap", 2: "string", 4: 4},
    "TensorMap": {0: "string", 1: 4},
    "ExternalBufferGroup": {0: "string"},
    "ExternalBuffer": {0: 4, 1: 4, 2: 8, 3: 8, 4: "string"},
    # quantization details and sparse index vectors
    "CustomQuantization": {0: "vector 1"},
    "BlockwiseQuantization": {0: 4, 1: 4, 2: 4, 3: "vector 4"},
    "MultiAxisQuantization": {0: 4, 1: 4, 2: 4, 3: "vector 4"},
    "Int32Vector": {0: "vector 4"},
    "Uint16Vector": {0: "vector 2"},
    "Uint8Vector": {0: "vector 1"},
    # options of ops, where they hold more than scalars
    "BucketizeOptions": {0: "vector 4"},
    "ConcatEmbeddingsOptions": {1: "vector 4", 2: "vector 4"},
    "FullyConnectedOptions": {5: "vector 1"},
    "ReshapeOptions": {0: "vector 4"},
    "SqueezeOptions": {0: "vector 4"},
    "StableHLOCompositeOptions": {0: "string", 1: 4, 2: "vector 1"},
    "StablehloBroadcastInDimOptions": {0: "vector 8"},
    "StablehloCaseOptions": {0: "vector 4"},
    "StablehloConvolutionOptions": {
        0: "vector 8",
        1: "vector 8",
        2: "vector 8",
        3: "vector 8",
        4: "vector 1",
        7: "vector 8",
        10: "vector 8",
        13: "vector 8",
        16: "vector 4",
    },
    "StablehloCustomCallOptions": {0: "string", 2: "string", 4: "vector 4", 5: "vector 1"},
    "StablehloDotGeneralOptions": {0: "vector 8", 1: "vector 8", 2: "vector 8", 3: "vector 8", 4: "vector 4"},
    "StablehloDynamicSliceOptions": {0: "vector 8"},
    "StablehloGatherOptions": {0: "vector 8", 1: "vector 8", 2: "vector 8", 4: "vector 8"},
    "StablehloPadOptions": {0: "vector 8", 1: "vector 8", 2: "vector 8"},
    "StablehloReduceOptions": {0: "vector 8"},
    "StablehloReduceWindowOptions": {0: "vector 8", 1: "vector 8", 2: "vector 8", 3: "vector 8", 4: "vector 8"},
    "StablehloScatterOptions": {1: "vector 8", 2: "vector 8", 3: "vector 8"},
    "StablehloSliceOptions": {0: "vector 8", 1: "vector 8", 2: "vector 8"},
    "StablehloTransposeOptions": {0: "vector 8"},
    "VarHandleOptions": {0: "string", 1: "string"},
}

_Ints = npt.NDArray[np.int32]


class _Tables:
    """Bounds-checked reading of a FlatBuffer. Every method raises `_Broken` rather than read outside the file."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self.size = len(data)
        self._vtables: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._checked: set[tuple[int, str]] = set()
        self._looks_left = 1_000 + min(self.size, 4_000_000)
        self.root = self._follow(0)
        self.check(self.root, "Model")

    def check(self, table: int, kind: str) -> None:
        """Check a table and all that it leads to, each (place, kind) once, so that shared parts cost nothing."""
        if (table, kind) in self._checked:
            return
        self._checked.add((table, kind))
        inline, places = self._vtable(table)
        layout = _LAYOUT.get(kind, {})
        for field, place in enumerate(places):
            what = layout.get(field, 1)
            if place and place + (what if isinstance(what, int) else 4) > inline:
                raise _Broken(f"field {field} of {kind} at byte {table} lies outside its table")
            if place and isinstance(what, str):
                self._check_reference(table, field, what, kind)

    def _check_reference(self, table: int, field: int, what: str, kind: str) -> None:
        shape, _, of = what.partition(" ")
        if shape == "table":
            self.check(self._follow(self._place(table, field)), of)
        elif shape == "union":
            chosen = self.scalar(table, field - 1, "B")
            self.check(self._follow(self._place(table, field)), names_of(of).get(chosen, "?"))
        elif shape == "tables":
            for item in self.tables(table, field):
                self.check(item, of)
        else:
            width = 1 if shape == "string" else int(of)
            start, length = self._vector(table, field, width)
            if shape == "string" and not (start + length < self.size and self.data[start + length] == 0):
                raise _Broken(f"the text in field {field} of {kind} at byte {table} does not end")

    def scalar(self, table: int, field: int, code: str, default: int = 0) -> int:
        """The number in a field, `code` as in `struct`; `default` if the field is absent."""
        place = self._place(table, field)
        return int(struct.unpack_from(f"<{code}", self.data, place)[0]) if place else default

    def ints(self, table: int, field: int) -> _Ints:
        """A vector of 32-bit numbers; empty if absent."""
        if not self._place(table, field):
            return np.empty(0, np.int32)
        start, length = self._vector(table, field, 4)
        self._spend(length)
        return np.frombuffer(self.data, "<i4", length, start)

    def tables(self, table: int, field: int) -> Iterator[int]:
        """The places of a vector's tables; none if absent."""
        if self._place(table, field):
            start, length = self._vector(table, field, 4)
            self._spend(length)
            for place in range(start, start + 4 * length, 4):
                yield self._follow(place)

    def count(self, table: int, field: int) -> int:
        """The length of a vector; 0 if absent."""
        return self._vector(table, field, 1)[1] if self._place(table, field) else 0

    def _spend(self, looks: int) -> None:
        """An honest file holds every reference once, in 4 bytes, and is gone through less than four times. A file whose
        vectors share their parts could ask for as many looks as the product of their lengths."""
        self._looks_left -= looks
        if self._looks_left < 0:
            raise _Broken("its tables refer to the same parts again and again")

    def _place(self, table: int, field: int) -> int:
        """Where a field is, 0 if absent. The table has been checked."""
        places = self._vtable(table)[1]
        return table + places[field] if field < len(places) and places[field] else 0

    def _vtable(self, table: int) -> tuple[int, tuple[int, ...]]:
        """A table's inline size in bytes and the places of its fields relative to it (0: absent)."""
        at = table - self._number("<i", table)
        if at not in self._vtables:
            size, inline = self._number("<H", at), self._number("<H", at + 2)
            if size < 4 or size % 2 or at + size > self.size:
                raise _Broken(f"the field list at byte {at} of {self.size} is cut")
            self._vtables[at] = inline, struct.unpack_from(f"<{size // 2 - 2}H", self.data, at + 4)
        inline, places = self._vtables[at]
        if table + inline > self.size:
            raise _Broken(f"the table at byte {table} goes on beyond the end at byte {self.size}")
        return inline, places

    def _vector(self, table: int, field: int, width: int) -> tuple[int, int]:
        """Start and length of a vector (or string) of `width`-byte items."""
        at = self._follow(self._place(table, field))
        length = self._number("<I", at)
        if at + 4 + length * width > self.size:
            raise _Broken(f"{length * width} bytes are announced at byte {at}, but the file ends at byte {self.size}")
        return at + 4, length

    def _follow(self, place: int) -> int:
        return place + self._number("<I", place)

    def _number(self, code: str, place: int) -> int:
        if not 0 <= place <= self.size - struct.calcsize(code):
            raise _Broken(f"an offset leads to byte {place}, but the file ends at byte {self.size}")
        return int(struct.unpack_from(code, self.data, place)[0])


def _verify_meaning(tables: _Tables) -> None:
    """Check that what the tables say fits together. All offsets are known to be good."""
    model = tables.root
    buffers, codes, graphs = tables.count(model, 4), tables.count(model, 1), tables.count(model, 2)
    if not graphs:
        raise _Broken("it holds no graph")
    for index, code in enumerate(tables.tables(model, 1)):
        _verify_op_code(tables, index, code)
    for index, buffer in enumerate(tables.tables(model, 4)):
        offset, size = tables.scalar(buffer, 1, "Q"), tables.scalar(buffer, 2, "Q")
        if offset > 1 and offset + size > tables.size:  # 0 and 1 mean: not outside the FlatBuffer
            raise _Broken(f"buffer {index} ends at byte {offset + size}, but the file ends at byte {tables.size}")
    for metadata in tables.tables(model, 6):
        _verify_index("a metadata entry", "buffer", tables.scalar(metadata, 1, "I"), buffers)
    counts = []
    for index, graph in enumerate(tables.tables(model, 2)):
        counts.append(tables.count(graph, 0))
        _verify_graph(tables, f"graph {index}", graph, buffers, codes)
    for signature in tables.tables(model, 7):
        graph_index = tables.scalar(signature, 4, "I")
        _verify_index("a signature", "graph", graph_index, graphs)
        for field in (0, 1):
            for tensor in tables.tables(signature, field):
                _verify_index("a signature", "tensor", tables.scalar(tensor, 1, "I"), counts[graph_index])


def _verify_op_code(tables: _Tables, index: int, code: int) -> None:
    builtin = max(tables.scalar(code, 0, "b"), tables.scalar(code, 3, "i"))
    if builtin not in names_of("BuiltinOperator"):
        raise _Unsupported(f"op code {index} is {builtin}, which the pinned runtime does not know")


def _verify_graph(tables: _Tables, where: str, graph: int, buffers: int, codes: int) -> None:
    tensors = tables.count(graph, 0)
    for index, tensor in enumerate(tables.tables(graph, 0)):
        _verify_index(f"tensor {index} of {where}", "buffer", tables.scalar(tensor, 2, "I"), max(buffers, 1))
        if (shape := tables.ints(tensor, 0)).size and shape.min() < 0:
            raise _Broken(f"tensor {index} of {where} has a negative size")
    for role, field in (("inputs", 1), ("outputs", 2)):
        _verify_indices(f"the {role} of {where}", tables.ints(graph, field), 0, tensors)
    for index, op in enumerate(tables.tables(graph, 3)):
        _verify_index(f"op {index} of {where}", "op code", tables.scalar(op, 0, "I"), codes)
        _verify_indices(f"op {index} of {where}", tables.ints(op, 1), -1, tensors)  # −1: an optional input left out
        _verify_indices(f"op {index} of {where}", tables.ints(op, 2), 0, tensors)


def _verify_index(who: str, what: str, index: int, count: int) -> None:
    if index >= count:
        raise _Broken(f"{who} names {what} {index}, but there are {count}")


def _verify_indices(who: str, indices: _Ints, lowest: int, count: int) -> None:
    if indices.size and (indices.min() < lowest or indices.max() >= count):
        wrong = indices[(indices < lowest) | (indices >= count)][0]
        raise _Broken(f"{who} names tensor {wrong}, but there are {count}")
