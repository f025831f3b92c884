"""``datapackage.json``: what the tables hold, for people and for tools that know Frictionless Data Packages.

It is a function of the tables, the model files and two facts (`About`), so that verification can write it again and
compare.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl

from leadline.bundle.tables import SCHEMAS, Tables

BUNDLE_FORMAT = 2  # counts up with every change that an older Leadline would misread
DESCRIPTOR = "datapackage.json"

_UNITS = {"_ns": "ns", "_bytes": "B", "_khz": "kHz", "_c": "degC", "_percent": "%"}
_TYPES: Mapping[type[pl.DataType], str] = {
    pl.String: "string",
    pl.Int64: "integer",
    pl.Float64: "number",
    pl.Boolean: "boolean",
    pl.Datetime: "datetime",
    pl.List: "array",
    pl.Struct: "object",
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "devices": ("serial", "taken_at"),
    "campaigns": ("id",),
    "models": ("sha256",),
    "trials": ("id",),
    "attempts": ("id",),
    "launches": ("attempt_id", "launch"),
    "samples": ("attempt_id", "launch", "block", "index"),
    "conditions": ("attempt_id", "launch", "block"),
    "ops": ("attempt_id", "launch", "index"),
    "summaries": ("attempt_id",),
    "sweeps": ("id",),
    "sweep_points": ("sweep_id", "index"),
}
_REFERENCES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "trials": {"campaign_id": ("campaigns", "id"), "artifact": ("models", "sha256")},
    "attempts": {"trial_id": ("trials", "id")},
    "launches": {"attempt_id": ("attempts", "id")},
    "samples": {"attempt_id": ("attempts", "id")},
    "conditions": {"attempt_id": ("attempts", "id")},
    "ops": {"attempt_id": ("attempts", "id")},
    "summaries": {"attempt_id": ("attempts", "id")},
    "sweep_points": {"sweep_id": ("sweeps", "id")},
}


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a bundle beside its tables."""

    bundle_format: int
    written_by: str  # "Leadline 0.1.0"
    anonymized: bool


class _Descriptor(msgspec.Struct, frozen=True):
    leadline: About


def table_path(name: str) -> str:
    return f"{name}.parquet"


def model_path(sha256: str) -> str:
    return f"models/{sha256}.tflite"


def read_about(descriptor: bytes) -> About:
    """Raises: msgspec.DecodeError if this is not the descriptor of a bundle."""
    return msgspec.json.decode(descriptor, type=_Descriptor).leadline


def describe(about: About, tables: Tables, files: Mapping[str, tuple[str, int]]) -> bytes:
    """Args: files: path below ``data/`` of every table and model file → SHA-256 in hex, size in bytes."""
    names = {table_path(name): name for name in SCHEMAS}
    package = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "leadline-bundle",
        "title": "On-device latency measurements by Leadline",
        "leadline": msgspec.to_builtins(about),
        "software": _software(tables["campaigns"]),
        "resources": [
            {
                "name": names.get(path, path.removeprefix("models/").removesuffix(".tflite")),
                "path": path,
                "format": path.rpartition(".")[2],
                "bytes": size_bytes,
                "hash": f"sha256:{sha256}",
            }
            | ({"rows": tables[names[path]].height, "schema": _schema(names[path])} if path in names else {})
            for path, (sha256, size_bytes) in sorted(files.items())
        ],
    }
    return json.dumps(package, indent=1).encode() + b"\n"


def _software(campaigns: pl.DataFrame) -> dict[str, list[str]]:
    """Package → the versions of it that the campaigns ran with."""
    pairs = {(item["key"], item["value"]) for versions in campaigns["versions"] for item in versions}
    return {
        package: sorted(v for name, v in pairs if name == package) for package in sorted({name for name, _ in pairs})
    }


def _unit(column: str) -> dict[str, str]:
    return next(({"unit": unit} for suffix, unit in _UNITS.items() if column.endswith(suffix)), {})


def _schema(table: str) -> dict[str, Any]:
    return {
        "fields": [
            {"name": name, "type": _TYPES[type(column)]} | _unit(name) for name, column in SCHEMAS[table].items()
        ],
        "primaryKey": list(_KEYS[table]),
        "foreignKeys": [
            {"fields": [field], "reference": {"resource": resource, "fields": [to]}}
            for field, (resource, to) in _REFERENCES.get(table, {}).items()
        ],
    }
