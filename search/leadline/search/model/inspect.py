"""What is inside any .tflite file: inputs, outputs, ops, FLOPs, parameters, bytes moved."""

from __future__ import annotations

import hashlib
import math
import stat
from pathlib import Path
from typing import Any

import msgspec

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.core.tflite import load_schema, names_of, verify
from leadline.records.trial import Artifact, TensorInfo
from leadline.search.model.counts import Counts, op_macs, sum_known, total
from leadline.search.model.writer import ARCHITECTURE_KEY

ELEMENT_BITS = {
    "BOOL": 8, "INT2": 2, "INT4": 4, "UINT4": 4, "INT8": 8, "UINT8": 8, "FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8,
    "INT16": 16, "UINT16": 16, "FLOAT16": 16, "BFLOAT16": 16, "INT32": 32, "UINT32": 32, "FLOAT32": 32,
    "INT64": 64, "UINT64": 64, "FLOAT64": 64, "COMPLEX64": 64, "COMPLEX128": 128,
}  # fmt: skip


class OpReport(msgspec.Struct, frozen=True, kw_only=True):
    index: int  # in order of execution
    name: str  # as in the schema: "CONV_2D"; of a custom op "CUSTOM Name"
    output_shape: tuple[int, ...] | None  # of the first output; None: it has none
    counts: Counts


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file. Of a model with several graphs the first, which is what a runtime runs."""

    path: str
    sha256: str
    size_bytes: int
    description: str  # what the converter wrote
    architecture: str | None  # a space's encoding, in files that Leadline wrote
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: tuple[OpReport, ...]
    counts: Counts

    @property
    def op_counts(self) -> dict[str, int]:
        """How often each op occurs, the most frequent first."""
        counts: dict[str, int] = {}
        for op in self.ops:
            counts[op.name] = counts.get(op.name, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def artifact(self) -> Artifact:
        """The file as something that can be measured, named after the file.

        Raises: BadInput if the name cannot be kept with the results.
        """
        try:
            self.path.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"{printable(self.path)}: the name is not UTF-8, and could not be kept with the results; rename it"
            ) from None
        return Artifact(
            sha256=self.sha256,
            name=Path(self.path).name,
            path=self.path,
            size_bytes=self.size_bytes,
            flops=self.counts.flops,
            parameters=self.counts.parameters,
            architecture=self.architecture,
        )


def inspect_file(path: Path) -> ModelReport:
    """Read a model file, the user's own or one of ours, and check that it is whole.

    Raises: BadInput naming the file and what is wrong with it.
    """
    shown = printable(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a pipe would wait for a writer
            raise BadInput(f"{shown}: not a regular file; give a .tflite file")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{shown}: cannot be read: {error.strerror}; give a .tflite file") from error
    return inspect_bytes(data, str(path.absolute()))


def inspect_bytes(data: bytes, path: str) -> ModelReport:
    """As `inspect_file`, for a file's bytes; `path` is only told."""
    verify(data, path)
    model = load_schema().Model.GetRootAs(data)
    graph = _Graph(model)
    ops = graph.ops()
    return ModelReport(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        description=_text(model.Description()),
        architecture=_architecture(model),
        inputs=graph.named("Inputs"),
        outputs=graph.named("Outputs"),
        ops=ops,
        counts=total([op.counts for op in ops]),
    )


class _Tensor(msgspec.Struct, frozen=True):
    info: TensorInfo
    constant: bool
    parameters: int  # elements, if they are weights or biases
    size_bytes: int | None


class _Graph:
    """The first graph of a verified model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.Subgraphs(0)
        self.tensors = [self._tensor(self.graph.Tensors(i)) for i in range(self.graph.TensorsLength())]

    def named(self, role: str) -> tuple[TensorInfo, ...]:
        """The tensors listed as the graph's "Inputs" or "Outputs"."""
        count = getattr(self.graph, f"{role}Length")()
        return tuple(self.tensors[getattr(self.graph, role)(i)].info for i in range(count))

    def ops(self) -> tuple[OpReport, ...]:
        seen: set[int] = set()  # a constant that several ops use is one set of parameters
        reports = []
        for index in range(self.graph.OperatorsLength()):
            op = self.graph.Operators(index)
            inputs = [op.Inputs(i) for i in range(op.InputsLength())]  # -1: an optional input left out
            outputs = [op.Outputs(i) for i in range(op.OutputsLength())]
            used = {i for i in [*inputs, *outputs] if i >= 0}
            name = self._op_name(op.OpcodeIndex())
            shapes = [self.tensors[i].info.shape for i in outputs]
            macs = op_macs(name.split()[0], [self.tensors[i].info.shape if i >= 0 else None for i in inputs], shapes)
            counts = Counts(
                flops=None if macs is None else 2 * macs,
                parameters=sum(self.tensors[i].parameters for i in used - seen),
                bytes_moved=sum_known([self.tensors[i].size_bytes for i in [*inputs, *outputs] if i >= 0]),
            )
            seen |= used
            reports.append(OpReport(index=index, name=name, output_shape=shapes[0] if shapes else None, counts=counts))
        return tuple(reports)

    def _op_name(self, index: int) -> str:
        code = self.model.OperatorCodes(index)
        name = names_of("BuiltinOperator")[max(code.DeprecatedBuiltinCode(), code.BuiltinCode())]
        return f"{name} {_text(code.CustomCode())}" if name == "CUSTOM" else name

    def _tensor(self, tensor: Any) -> _Tensor:
        shape = tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
        kind = names_of("TensorType").get(tensor.Type(), f"TYPE_{tensor.Type()}")
        buffer = self.model.Buffers(tensor.Buffer()) if self.model.BuffersLength() else None
        constant = buffer is not None and (buffer.DataLength() > 0 or buffer.Offset() > 1)
        quantization = tensor.Quantization()
        weighty = "FLOAT" in kind or (quantization is not None and quantization.ScaleLength() > 0)
        bits = ELEMENT_BITS.get(kind)
        elements = math.prod(shape)
        return _Tensor(
            TensorInfo(name=_text(tensor.Name()), dtype=kind.lower(), shape=shape),
            constant,
            elements if constant and weighty else 0,
            None if bits is None else -(-elements * bits // 8),
        )


def _architecture(model: Any) -> str | None:
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if _text(entry.Name()) == ARCHITECTURE_KEY:
            buffer = model.Buffers(entry.Buffer())
            return bytes(buffer.DataAsNumpy()).decode("utf-8", "replace") if buffer.DataLength() else None
    return None


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "backslashreplace")
