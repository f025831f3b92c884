"""Records as table rows: which Parquet columns a record type has, and the way there and back.

A record inside a record becomes columns with its name in front (``config_threads``), a tuple a list, a dict a list of
``{key, value}``, None a null. Nothing is lost, not even a NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from functools import cache
from typing import Any, TypeVar

import msgspec
import polars as pl

from leadline.records.roofline import Sweep
from leadline.records.trial import Attempt, Launch

T = TypeVar("T", bound=msgspec.Struct)

INSTANT = pl.Datetime("us", "UTC")
_TABLES_OF_THEIR_OWN = {  # fields that are no columns
    (Attempt, "launches"),
    (Launch, "blocks"),
    (Launch, "ops"),
    (Sweep, "points"),
}


@cache
def schema_of(record_type: type[msgspec.Struct]) -> dict[str, pl.DataType]:
    """Column name → type, in the order of the record's fields."""
    return dict(_flat(msgspec.inspect.type_info(record_type), ""))


def to_frame(records: Iterable[msgspec.Struct], record_type: type[msgspec.Struct]) -> pl.DataFrame:
    """One row per record."""
    schema = schema_of(record_type)
    return pl.DataFrame([row_of(record) for record in records], schema=schema, orient="row")


def from_frame(frame: pl.DataFrame, record_type: type[T]) -> list[T]:
    """The inverse of `to_frame`; `frame` may have further columns, and what has a table of its own comes back empty.

    Raises: msgspec.ValidationError.
    """
    info = msgspec.inspect.type_info(record_type)
    instants = [name for name, column in frame.schema.items() if column == INSTANT]
    naive = frame.with_columns(pl.col(instants).dt.replace_time_zone(None))  # else polars wants a time zone database
    return [msgspec.convert(_deep(info, row, ""), record_type) for row in naive.iter_rows(named=True)]


def row_of(record: msgspec.Struct, prefix: str = "") -> dict[str, Any]:
    """Column name → plain value."""
    row: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, msgspec.Struct):
            row |= row_of(value, f"{prefix}{name}_")
        elif (type(record), name) not in _TABLES_OF_THEIR_OWN:
            row[prefix + name] = _plain(value)
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return [{"key": key, "value": _plain(item)} for key, item in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _flat(info: msgspec.inspect.Type, prefix: str) -> Iterable[tuple[str, pl.DataType]]:
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        if isinstance(field.type, msgspec.inspect.StructType):
            yield from _flat(field.type, f"{prefix}{field.name}_")
        elif (info.cls, field.name) not in _TABLES_OF_THEIR_OWN:
            yield prefix + field.name, _column(field.type)


def _column(info: msgspec.inspect.Type) -> pl.DataType:
    match _present(info):
        case msgspec.inspect.StrType() | msgspec.inspect.LiteralType():
            return pl.String()
        case msgspec.inspect.BoolType():
            return pl.Boolean()
        case msgspec.inspect.IntType():
            return pl.Int64()
        case msgspec.inspect.FloatType():
            return pl.Float64()
        case msgspec.inspect.DateTimeType():
            return INSTANT
        case msgspec.inspect.VarTupleType(item_type=item):
            return pl.List(_column(item))
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return pl.List(pl.Struct({"key": _column(key), "value": _column(value)}))
        case msgspec.inspect.StructType(fields=fields):
            return pl.Struct({field.name: _column(field.type) for field in fields})
    raise TypeError(f"{info} has no column type")


def _present(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """``X | None`` → ``X``: every column may hold nulls."""
    if isinstance(info, msgspec.inspect.UnionType):
        [info] = [each for each in info.types if not isinstance(each, msgspec.inspect.NoneType)]
    return info


def _deep(info: msgspec.inspect.Type, row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A flat row → what msgspec can convert to the record."""
    assert isinstance(info, msgspec.inspect.StructType)
    record: dict[str, Any] = {}
    for field in info.fields:
        present = _present(field.type)
        if isinstance(present, msgspec.inspect.StructType):
            record[field.name] = _deep(present, row, f"{prefix}{field.name}_")
        elif (info.cls, field.name) not in _TABLES_OF_THEIR_OWN:
            value = row[prefix + field.name]
            if value is not None and isinstance(present, msgspec.inspect.DictType):
                value = {item["key"]: item["value"] for item in value}
            if value is not None and isinstance(present, msgspec.inspect.DateTimeType):
                value = value.replace(tzinfo=UTC)
            record[field.name] = value
        else:
            record[field.name] = ()
    return record
