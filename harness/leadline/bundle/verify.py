"""Is this file, to the last byte, a bundle that Leadline could have written?"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec
import polars as pl

from leadline.bundle.archive import NEEDED, SMALL_BYTES, TAGS, Archive, Damaged, opened
from leadline.bundle.bag import differing, tag_files
from leadline.bundle.package import BUNDLE_FORMAT, DESCRIPTOR, About, describe, model_path, read_about, table_path
from leadline.bundle.tables import SCHEMAS, Tables, contents_of, tables_of
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.records.roofline import KernelPoint
from leadline.store.contents import Contents

# A sample's nanoseconds do not compress below a byte a row; a table with far more rows than bytes is made to hurt.
_ROWS_PER_BYTE = 8
_ROWS_AT_LEAST = 100_000
_PROBLEMS_AT_MOST = 100


class Verification(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a bundle is and what is wrong with it."""

    problems: tuple[str, ...]  # empty: it is whole and consistent
    about: About | None  # None: too broken to tell
    contents: Contents | None  # None: there are problems
    size_bytes: int
    models: int  # model files inside

    @property
    def ok(self) -> bool:
        return not self.problems


class _Found(Exception):
    """Problems that make looking further pointless."""

    def __init__(self, problems: Iterable[str], about: About | None = None) -> None:
        super().__init__()
        self.problems = tuple(problems)
        self.about = about


def verify_bundle(path: Path) -> Verification:
    """Check everything that can be checked without the store it came from.

    Raises: BadInput if there is no such file, it is no zip, or a newer Leadline wrote it.
    """
    with opened(path) as archive:
        size_bytes = archive.size_bytes
        models = sum(name not in NEEDED for name in archive.sizes())
        try:
            about, contents = _examine(archive, path)
            return Verification(problems=(), about=about, contents=contents, size_bytes=size_bytes, models=models)
        except _Found as found:
            problems, about_found = found.problems, found.about
        except Damaged as damaged:
            problems, about_found = damaged.problems, None
        return Verification(problems=problems, about=about_found, contents=None, size_bytes=size_bytes, models=models)


def _examine(archive: Archive, path: Path) -> tuple[About, Contents]:
    """From the outside in: nothing but the format's number is parsed before its hash is known to be right."""
    _refuse_other_formats(archive, path)
    _stop_at(archive.problems())
    descriptor = archive.read(f"data/{DESCRIPTOR}", SMALL_BYTES)
    about = _about(descriptor)
    digests = archive.digests()
    _stop_at(_wrong_tags(archive, digests), about)
    difference = archive.first_difference()
    if difference is not None:
        _stop_at(
            [f"byte {difference} of the archive is not as Leadline writes it: changed, added or packed again"], about
        )
    tables = {name: _table(archive.read(f"data/{table_path(name)}"), name) for name in SCHEMAS}
    files = {name.removeprefix("data/"): found for name, found in digests.items() if name not in TAGS}
    del files[DESCRIPTOR]
    contents, rewritten = _records(tables)
    problems = [
        *_inconsistent(contents),
        *_wrong_summaries(tables["summaries"], rewritten["summaries"]),
        *_wrong_models(contents, files),
    ]
    if describe(about, tables, files) != descriptor:
        problems.append(f"{DESCRIPTOR}: does not describe these tables and files")
    _stop_at(problems, about)
    return about, contents


def _stop_at(problems: Iterable[str], about: About | None = None) -> None:
    listed = list(problems)
    if len(listed) > _PROBLEMS_AT_MOST:
        listed[_PROBLEMS_AT_MOST:] = [f"and {len(listed) - _PROBLEMS_AT_MOST} more problems"]
    if listed:
        raise _Found(listed, about)


def _refuse_other_formats(archive: Archive, path: Path) -> None:
    """Before anything else, since other formats have other files. What cannot be read here is told later."""
    try:
        about = read_about(archive.read(f"data/{DESCRIPTOR}", SMALL_BYTES))
    except (Damaged, msgspec.DecodeError):
        return
    what = f"{printable(str(path))}: has bundle format {about.bundle_format}, of {printable(about.written_by)}; this "
    this = f"Leadline, {version('leadline')}"
    if about.bundle_format > BUNDLE_FORMAT:
        raise BadInput(f"{what}{this}, knows up to {BUNDLE_FORMAT}; try: pip install --upgrade leadline")
    if about.bundle_format < BUNDLE_FORMAT:
        raise BadInput(
            f"{what}{this}, reads {BUNDLE_FORMAT}; export it anew with this one: its store is brought up to date"
        )


def _about(descriptor: bytes) -> About:
    try:
        return read_about(descriptor)
    except msgspec.DecodeError as error:
        raise _Found([f"{DESCRIPTOR}: cannot be understood ({error})"]) from error


def _wrong_tags(archive: Archive, digests: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Every file against its manifest: the manifests of these files are computed, and compared with those given."""
    payload = {name.removeprefix("data/"): found for name, found in digests.items() if name not in TAGS}
    expected = tag_files(payload)
    given = {name: archive.read(name, SMALL_BYTES) for name in TAGS}
    for tag in differing(given, expected):
        lines = Counter(given[tag].splitlines())
        lines.subtract(expected[tag].splitlines())
        listed = {_path_of(line) for line, times in lines.items() if times > 0}
        real = {_path_of(line) for line, times in lines.items() if times < 0}
        for name in sorted(listed & real):
            yield f"{name}: is not what {tag} says: changed"
        for name in sorted(listed - real):
            yield f"{name}: {tag} lists it, but it is not so"
        for name in sorted(real - listed):
            yield f"{name}: {tag} does not list it"
        if not listed and not real:
            yield f"{tag}: is not as Leadline writes it"


def _path_of(manifest_line: bytes) -> str:
    _, separator, name = manifest_line.partition(b"  ")
    return printable(name if separator else manifest_line)


def _table(content: bytes, name: str) -> pl.DataFrame:
    """Looks at columns and number of rows before it reads any."""
    expected = dict(SCHEMAS[name])
    limit = max(_ROWS_AT_LEAST, _ROWS_PER_BYTE * len(content))
    try:
        lazy = pl.scan_parquet(io.BytesIO(content))
        if dict(lazy.collect_schema()) != expected:
            raise _Found([f"{table_path(name)}: has other columns than a bundle's"])
        rows = lazy.select(pl.len()).collect().item()
        if rows > limit:
            raise _Found([f"{table_path(name)}: {rows} rows in {len(content)} bytes are no measurement"])
        return lazy.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _Found([f"{table_path(name)}: cannot be read ({printable(str(error))})"]) from error


def _records(tables: Tables) -> tuple[Contents, Tables]:
    """The records whose tables these exactly are, and their tables with summaries computed anew."""
    try:
        contents = contents_of(tables)
        rewritten = tables_of(contents)
    except (msgspec.ValidationError, BadInput, ValueError, TypeError, KeyError, StopIteration, OverflowError) as error:
        raise _Found([f"the tables hold a row that no measurement leaves ({printable(str(error))})"]) from error
    _stop_at(
        f"{table_path(name)}: rows are missing, doubled, out of order or belong to nothing"
        for name in SCHEMAS
        if name != "summaries" and not tables[name].equals(rewritten[name])
    )
    return contents, rewritten


def _inconsistent(contents: Contents) -> Iterator[str]:
    ids: dict[str, list[object]] = {
        "campaigns": [each.id for each in contents.campaigns],
        "devices": [(each.serial, each.taken_at) for each in contents.profiles],
        "models": [each.sha256 for each in contents.artifacts],
        "trials": [each.id for each in contents.trials],
        "attempts": [each.id for each in contents.attempts],
        "sweeps": [each.id for each in contents.sweeps],
    }
    for table, keys in ids.items():
        if len(set(keys)) < len(keys):
            yield f"{table_path(table)}: a key is in it twice"
    done = {each.trial_id for each in contents.attempts if each.outcome == "done"}
    known = {table: set(keys) for table, keys in ids.items()}
    for trial in contents.trials:
        if trial.campaign_id not in known["campaigns"]:
            yield f"trial {printable(trial.id)}: its campaign is missing"
        if trial.artifact not in known["models"]:
            yield f"trial {printable(trial.id)}: its model is missing"
        if trial.state == "running" or (trial.state == "done") != (trial.id in done):
            yield f"trial {printable(trial.id)}: its state does not fit its attempts"
    for attempt in contents.attempts:
        if attempt.trial_id not in known["trials"]:
            yield f"attempt {printable(attempt.id)}: its trial is missing"
    for sweep in contents.sweeps:
        if not all(_measurable(point) for point in sweep.points):
            yield f"sweep {printable(sweep.id)}: holds a point that no measurement leaves"


def _measurable(point: KernelPoint) -> bool:
    numbers = (point.working_set_bytes, point.intensity, *point.gops)
    return bool(point.gops) and all(0 < number < math.inf for number in numbers)


def _wrong_summaries(given: pl.DataFrame, expected: pl.DataFrame) -> Iterator[str]:
    """Whoever changes a sample and computes all hashes anew still has to change the summary.

    Only what every version of Leadline computes alike is compared: the interval's method may change."""
    if not given["attempt_id"].equals(expected["attempt_id"]):
        yield f"{table_path('summaries')}: is not of these attempts"
        return
    for mine, theirs in zip(expected.iter_rows(named=True), given.iter_rows(named=True), strict=True):
        for name in ("n", "launches", "switches", "median_ns", "mean_ns", "min_ns", "p95_ns"):
            if theirs[name] is None or not math.isclose(mine[name], theirs[name], rel_tol=1e-9):
                yield f"attempt {mine['attempt_id']}: its {name} is not that of its samples"


def _wrong_models(contents: Contents, files: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    sizes = {model_path(each.sha256): (each.sha256, each.size_bytes) for each in contents.artifacts}
    for path in sorted(files.keys() - {table_path(name) for name in SCHEMAS}):
        if files[path] != sizes.get(path):
            yield f"{path}: is not a model of this bundle"
