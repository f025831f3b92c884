"""Whatever is changed in a bundle, by accident or on purpose, verification says so, and harms nobody while at it."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from leadline.bundle.bag import BASE, Payload, add_member, canonical_zip, tag_files, write_bag
from leadline.bundle.export import export_bundle
from leadline.bundle.importing import import_bundle
from leadline.bundle.package import describe, read_about
from leadline.bundle.tables import SCHEMAS
from leadline.bundle.verify import Verification, verify_bundle
from leadline.core.errors import BadInput
from leadline.store.store import Store
from tests.support.records import fill, make_artifact, make_campaign, make_trial


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a model file in it."""
    folder = tmp_path_factory.mktemp("good")
    with Store.open(f"sqlite:///{folder / 'store.sqlite'}") as store:
        rng = random.Random(9)
        fill(store, serials=["pi4"], models=2)
        model = folder / "net.tflite"
        model.write_bytes(rng.randbytes(300))
        campaign = make_campaign(rng)
        digest = sha256(model.read_bytes()).hexdigest()
        artifact = make_artifact(rng, sha256=digest, path=str(model), size_bytes=300)
        store.save_campaign(campaign)
        store.save_artifact(artifact)
        store.plan([make_trial(rng, campaign, "pi4", artifact)])
        export_bundle(store, folder / "one.zip", campaign_id=campaign.id, models=True)
        export_bundle(store, folder / "all.zip")
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return tmp_path / "bad.zip"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        yield store


def verdict(path: Path) -> str:
    """What is wrong, in one text; fails if nothing is."""
    try:
        verification: Verification = verify_bundle(path)
    except BadInput as error:
        return str(error)
    assert verification.problems
    assert verification.contents is None
    assert not verification.ok
    return "\n".join(verification.problems)


def payload_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        start = f"{BASE}/data/"
        return {n.removeprefix(start): archive.read(n) for n in archive.namelist() if n.startswith(start)}


def forge(out: Path, payload: dict[str, bytes], *, describe_anew: bool = True) -> None:
    """Write a bag around `payload` with every hash computed anew: as far as a forger without care gets."""
    if describe_anew:
        about = read_about(payload["datapackage.json"])
        tables = {name: pl.read_parquet(io.BytesIO(payload[f"{name}.parquet"])) for name in SCHEMAS}
        files = {
            path: (sha256(each).hexdigest(), len(each)) for path, each in payload.items() if path != "datapackage.json"
        }
        payload = payload | {"datapackage.json": describe(about, tables, files)}
    with out.open("wb") as stream:
        write_bag(stream, {path: Payload.of(each) for path, each in payload.items()})


def change_table(payload: dict[str, bytes], name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    table = io.BytesIO()
    change(pl.read_parquet(io.BytesIO(payload[f"{name}.parquet"]))).write_parquet(table)
    payload[f"{name}.parquet"] = table.getvalue()


def test_the_good_bundles_are_good(good: Path, bad: Path) -> None:
    assert verify_bundle(good / "all.zip").problems == ()
    assert verify_bundle(good / "one.zip").problems == ()
    forge(bad, payload_of(good / "all.zip"))
    assert bad.read_bytes() == (good / "all.zip").read_bytes()


def positions(content: bytes, count: int) -> set[int]:
    """Every byte that belongs to the zip itself at a stride, and `count` more anywhere."""
    rng = random.Random(1)
    chosen = {rng.randrange(len(content)) for _ in range(count)}
    directory = content.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", content, directory + 16)[0]
    chosen |= set(range(start, len(content), 7)) | set(range(directory, len(content)))
    at = content.find(b"PK\x03\x04")
    while at >= 0:
        chosen |= set(range(at, at + 30, 3))
        at = content.find(b"PK\x03\x04", at + 1)
    return chosen


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_is_found_wherever_it_is(good: Path, bad: Path, flip: int) -> None:
    content = bytearray((good / "one.zip").read_bytes())
    for position in sorted(positions(content, 150)):
        content[position] ^= flip
        bad.write_bytes(content)
        assert verdict(bad), f"byte {position}"
        content[position] ^= flip


@pytest.mark.parametrize("cut", [1, 10, 22, 23, 1000, 0.5, 0.99])
def test_a_truncated_bundle_is_refused(good: Path, bad: Path, cut: float) -> None:
    content = (good / "one.zip").read_bytes()
    kept = len(content) - cut if isinstance(cut, int) else int(len(content) * (1 - cut))
    bad.write_bytes(content[:kept])
    assert "is no bundle, or only a part of one" in verdict(bad)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\0" * 100_000])
def test_what_is_no_bundle_is_refused(bad: Path, content: bytes) -> None:
    bad.write_bytes(content)
    assert verdict(bad)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        verify_bundle(tmp_path / "nosuch.zip")
    with pytest.raises(BadInput, match="Is a directory"):
        verify_bundle(tmp_path)


def test_bytes_around_the_archive_are_found(good: Path, bad: Path) -> None:
    content = (good / "one.zip").read_bytes()
    for changed in (b"#!/bin/sh\n" + content, content + b"\0", content + content):
        bad.write_bytes(changed)
        assert verdict(bad)


def test_a_comment_is_found(good: Path, bad: Path) -> None:
    bad.write_bytes((good / "one.zip").read_bytes())
    with zipfile.ZipFile(bad, "a") as archive:
        archive.comment = b"see http://example.org"
    assert "of the archive is not as Leadline writes it" in verdict(bad)


def test_a_bundle_packed_again_is_told_to_be_so(good: Path, bad: Path) -> None:
    with zipfile.ZipFile(good / "one.zip") as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    assert "plain file" in verdict(bad) or "compressed" in verdict(bad)
    with zipfile.ZipFile(good / "one.zip") as old, canonical_zip(bad.open("wb")) as new:
        assert new.fp is not None
        for info in reversed(old.infolist()):
            add_member(new, info.filename, old.open(info), info.file_size)
        stream = new.fp
    stream.close()
    assert "packed again" in verdict(bad)


def repack(source: Path, out: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Pack the members again after `change`, in canonical form but with the manifests as they were."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with out.open("wb") as stream, canonical_zip(stream) as archive:
        for name in sorted(members):
            add_member(archive, name, io.BytesIO(members[name]), len(members[name]))


def test_each_changed_file_is_named(good: Path, bad: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[f"{BASE}/data/samples.parquet"] += b"x"
        members[f"{BASE}/data/ops.parquet"] = b""

    repack(good / "all.zip", bad, change)
    told = verdict(bad)
    assert "data/samples.parquet: is not what manifest-sha256.txt says: changed" in told
    assert "data/ops.parquet: is not what manifest-sha256.txt says: changed" in told


@pytest.mark.parametrize("name", ["data/samples.parquet", "manifest-sha256.txt", "bagit.txt", "data/datapackage.json"])
def test_a_missing_file_is_named(good: Path, bad: Path, name: str) -> None:
    repack(good / "all.zip", bad, lambda members: members.pop(f"{BASE}/{name}") and None)
    assert f"{name}: is missing" in verdict(bad)


def test_a_missing_model_file_is_named(good: Path, bad: Path) -> None:
    [model] = [name for name in payload_of(good / "one.zip") if name.startswith("models/")]
    repack(good / "one.zip", bad, lambda members: members.pop(f"{BASE}/data/{model}") and None)
    assert f"data/{model}: manifest-sha256.txt lists it, but it is not so" in verdict(bad)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        f"{BASE}/../../evil",
        "/etc/cron.d/evil",
        f"{BASE}/data/../../../evil",
        f"{BASE}/data/models/../../evil.tflite",
        f"{BASE}\\data\\evil",
        "C:\\evil",
        f"{BASE}/data/extra.parquet",
        f"{BASE}/fetch.txt",
        f"{BASE}/data/",
        "evil\x1b[2J\nname",
        "",
    ],
)
def test_a_file_that_no_bundle_has_is_named_and_never_written(good: Path, bad: Path, name: str) -> None:
    before = sorted(bad.parent.parent.rglob("*"))
    repack(good / "all.zip", bad, lambda members: members.update({name: b"evil"}))
    told = verdict(bad)
    assert "is no file of a bundle" in told
    assert "\x1b" not in told
    assert "\n" not in told
    assert [path for path in sorted(bad.parent.parent.rglob("*")) if path != bad and path not in before] == []


def test_an_extra_model_file_is_found(good: Path, bad: Path) -> None:
    extra = f"{BASE}/data/models/{'0' * 64}.tflite"
    repack(good / "one.zip", bad, lambda members: members.update({extra: b"evil"}))
    assert "manifest-sha256.txt does not list it" in verdict(bad)
    payload = payload_of(good / "one.zip")
    payload[f"models/{'0' * 64}.tflite"] = b"evil"
    forge(bad, payload)
    assert "is not a model of this bundle" in verdict(bad)


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO | 0o644, stat.S_IFREG | 0o755]
)
def test_a_link_or_other_special_file_is_refused(good: Path, bad: Path, mode: int) -> None:
    with zipfile.ZipFile(good / "one.zip") as old, zipfile.ZipFile(bad, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("ops.parquet"):
                info.external_attr = mode << 16
                content = b"/etc/passwd"
            new.writestr(info, content)
    assert "data/ops.parquet: is a link or otherwise not a plain file" in verdict(bad)


def test_a_file_that_is_in_it_twice_is_named(good: Path, bad: Path) -> None:
    bad.write_bytes((good / "one.zip").read_bytes())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(bad, "a") as archive:
        add_member(archive, f"{BASE}/bagit.txt", io.BytesIO(b"evil"), 4)
    assert "'bagit.txt': is in it twice" in verdict(bad)


def test_a_zip_bomb_is_refused_unopened(good: Path, bad: Path) -> None:
    with zipfile.ZipFile(good / "one.zip") as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info, old.read(info))
        bomb = zipfile.ZipInfo(f"{BASE}/data/models/{'0' * 64}.tflite")
        bomb.external_attr = 0o100644 << 16
        bomb.compress_type = zipfile.ZIP_DEFLATED
        new.writestr(bomb, bytes(50_000_000))
    assert bad.stat().st_size < 200_000
    assert "is compressed" in verdict(bad)


def test_a_file_that_claims_to_be_larger_than_the_archive_is_refused(good: Path, bad: Path) -> None:
    content = bytearray((good / "one.zip").read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    struct.pack_into("<II", content, entry + 20, 2**31, 2**31)
    bad.write_bytes(content)
    assert "claims to hold more than its own size" in verdict(bad)


def test_files_that_share_bytes_are_refused(good: Path, bad: Path) -> None:
    """Overlapping members multiply: the better zip bomb."""
    content = bytearray((good / "all.zip").read_bytes())
    end = content.rindex(b"PK\x05\x06")
    entry = struct.unpack_from("<I", content, end + 16)[0]
    largest = max(len(each) for each in payload_of(good / "all.zip").values())
    while content[entry : entry + 4] == b"PK\x01\x02":
        struct.pack_into("<II", content, entry + 20, largest, largest)
        entry += 46 + sum(struct.unpack_from("<HHH", content, entry + 28))
    bad.write_bytes(content)
    assert "claims to hold more" in verdict(bad)


def test_a_table_with_far_more_rows_than_bytes_is_not_read(good: Path, bad: Path) -> None:
    payload = payload_of(good / "all.zip")
    change_table(payload, "samples", lambda table: table[[0] * 3_000_000])
    forge(bad, payload)
    assert "are no measurement" in verdict(bad)


def test_a_newer_format_names_both_versions(good: Path, bad: Path) -> None:
    payload = payload_of(good / "one.zip")
    package = json.loads(payload["datapackage.json"])
    package["leadline"] |= {"bundle_format": 7, "written_by": "Leadline 9.9", "more": True}
    payload["datapackage.json"] = json.dumps(package).encode()
    payload["newer.parquet"] = b"what we know nothing of"
    forge(bad, payload, describe_anew=False)
    with pytest.raises(
        BadInput, match=r"format 7, of Leadline 9\.9; this Leadline, .*, knows up to 2; try: pip install"
    ):
        verify_bundle(bad)


def test_an_older_format_names_both_versions_and_the_way_out(good: Path, bad: Path) -> None:
    """Format 1, of Leadlines that were never released, had no sweeps."""
    payload = payload_of(good / "all.zip")
    package = json.loads(payload["datapackage.json"])
    package["leadline"] |= {"bundle_format": 1, "written_by": "Leadline 0.0"}
    payload["datapackage.json"] = json.dumps(package).encode()
    del payload["sweeps.parquet"], payload["sweep_points.parquet"]
    forge(bad, payload, describe_anew=False)
    with pytest.raises(BadInput, match=r"format 1, of Leadline 0\.0; this Leadline, .*, reads 2; export it anew"):
        verify_bundle(bad)


@pytest.mark.parametrize("descriptor", [b"", b"[]", b"{}", b'{"leadline":{}}', b"\xff", b"[" * 100_000])
def test_a_descriptor_that_makes_no_sense_is_told(good: Path, bad: Path, descriptor: bytes) -> None:
    forge(bad, payload_of(good / "one.zip") | {"datapackage.json": descriptor}, describe_anew=False)
    assert "datapackage.json: cannot be understood" in verdict(bad)


def test_a_descriptor_that_describes_something_else_is_told(good: Path, bad: Path) -> None:
    payload = payload_of(good / "one.zip")
    package = json.loads(payload["datapackage.json"])
    for change in ({"title": "evil"}, {"resources": package["resources"][1:]}, {"software": {}}):
        payload["datapackage.json"] = json.dumps(package | change, indent=1).encode() + b"\n"
        forge(bad, payload, describe_anew=False)
        assert "does not describe these tables" in verdict(bad)


def plus(column: str, row: int, by: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(table: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()) == row
        return table.with_columns(pl.when(here).then(pl.col(column) + by).otherwise(pl.col(column)).alias(column))

    return change


def test_a_tampered_sample_contradicts_its_summary_however_well_the_hashes_fit(good: Path, bad: Path) -> None:
    payload = payload_of(good / "all.zip")
    samples = pl.read_parquet(io.BytesIO(payload["samples.parquet"]))
    summarized = pl.read_parquet(io.BytesIO(payload["summaries.parquet"]))["attempt_id"]
    timed = samples.with_row_index("row").filter(~pl.col("warmup") & pl.col("attempt_id").is_in(summarized.implode()))
    change_table(payload, "samples", plus("wall_ns", timed["row"][7], -1))
    forge(bad, payload, describe_anew=False)
    assert "datapackage.json: does not describe" in verdict(bad)
    forge(bad, payload)
    assert "its mean_ns is not that of its samples" in verdict(bad)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("samples", lambda table: table.tail(-1)),
        ("samples", lambda table: pl.concat([table, table.tail(1)])),
        ("samples", lambda table: table.reverse()),
        ("samples", lambda table: table.clear()),
        ("samples", plus("index", 3, 1)),
        ("samples", plus("launch", 3, 1)),
        ("conditions", plus("runs", 0, -1)),
        ("conditions", plus("runs", 0, -(2**40))),
        ("conditions", plus("block", 1, 1)),
        ("conditions", lambda table: table.tail(-1)),
        ("conditions", lambda table: table.with_columns(runs=pl.lit(None, pl.Int64))),
        ("conditions", lambda table: table.with_columns(recorded=pl.lit(True))),
        ("launches", lambda table: table.tail(-1)),
        ("launches", lambda table: table.with_columns(attempt_id=pl.lit("nosuch"))),
        ("launches", lambda table: table.with_columns(stop=pl.lit("bored"))),
        ("ops", lambda table: table.with_columns(attempt_id=pl.lit("nosuch"))),
        ("attempts", lambda table: table.tail(-1)),
        ("attempts", lambda table: pl.concat([table, table.tail(1)])),
        ("attempts", lambda table: table.with_columns(trial_id=pl.lit("nosuch"))),
        ("attempts", lambda table: table.with_columns(outcome=pl.lit("failed"))),
        ("trials", lambda table: table.filter(pl.col("state") != "done")),
        ("trials", lambda table: table.with_columns(state=pl.lit("running"))),
        ("trials", lambda table: table.with_columns(campaign_id=pl.lit("nosuch"))),
        ("trials", lambda table: table.with_columns(config_threads=pl.lit(None, pl.Int64))),
        ("campaigns", lambda table: table.clear()),
        ("campaigns", lambda table: pl.concat([table, table])),
        ("models", lambda table: table.clear()),
        ("devices", lambda table: pl.concat([table, table])),
        ("devices", lambda table: table.with_columns(clusters=pl.lit(None, table.schema["clusters"]))),
        ("summaries", lambda table: table.tail(-1)),
        ("summaries", lambda table: table.with_columns(median_ns=pl.lit(None, pl.Float64))),
        ("summaries", plus("median_ns", 0, 1)),
        ("sweeps", lambda table: table.tail(-1)),
        ("sweeps", lambda table: pl.concat([table, table.tail(1)])),
        ("sweeps", lambda table: table.with_columns(config_threads=pl.lit(None, pl.Int64))),
        ("sweep_points", lambda table: table.tail(-1)),
        ("sweep_points", lambda table: table.reverse()),
        ("sweep_points", plus("index", 3, 1)),
        ("sweep_points", lambda table: table.with_columns(sweep_id=pl.lit("nosuch"))),
        ("sweep_points", lambda table: table.with_columns(dtype=pl.lit("float8"))),
        ("sweep_points", lambda table: table.with_columns(gops=pl.lit([], pl.List(pl.Float64)))),
        ("sweep_points", lambda table: table.with_columns(gops=pl.lit([1.0, -1.0]))),
        ("sweep_points", lambda table: table.with_columns(gops=pl.lit([float("inf")]))),
        ("sweep_points", lambda table: table.with_columns(intensity=pl.lit(float("nan")))),
        ("trials", lambda table: table.drop("state")),
        ("trials", lambda table: table.with_columns(evil=pl.lit(1))),
        ("trials", lambda table: table.cast({"config_threads": pl.Int32})),
    ],
)
def test_tables_that_no_store_holds_are_found_however_well_the_hashes_fit(
    good: Path, bad: Path, store: Store, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    payload = payload_of(good / "all.zip")
    change_table(payload, table, change)
    forge(bad, payload)
    assert verdict(bad)
    with pytest.raises(BadInput, match="see: leadline bundle verify"):
        import_bundle(store, bad)
    assert store.contents().campaigns == ()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"{}" * 1000])
def test_a_table_that_is_no_parquet_is_told(good: Path, bad: Path, content: bytes) -> None:
    forge(bad, payload_of(good / "all.zip") | {"ops.parquet": content}, describe_anew=False)
    assert "ops.parquet: cannot be read" in verdict(bad)


def test_damaged_parquet_never_gets_further_than_an_error(good: Path, bad: Path) -> None:
    """As a forger could write it, with all hashes right: polars itself meets the damage."""
    payload = payload_of(good / "all.zip")
    original = payload["launches.parquet"]
    rng = random.Random(3)
    for _ in range(60):
        damaged = bytearray(original)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        forge(bad, payload | {"launches.parquet": bytes(damaged)}, describe_anew=False)
        assert verdict(bad)


def test_manifests_that_are_only_written_differently_are_found(good: Path, bad: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        lines = members[f"{BASE}/manifest-sha256.txt"].splitlines(keepends=True)
        members[f"{BASE}/manifest-sha256.txt"] = b"".join(reversed(lines))

    repack(good / "all.zip", bad, change)
    assert "manifest-sha256.txt: is not as Leadline writes it" in verdict(bad)


def test_tag_files_name_every_payload_file() -> None:
    tags = tag_files({"b": ("0" * 64, 3), "a": ("1" * 64, 4)})
    assert tags["manifest-sha256.txt"] == b"1" * 64 + b"  data/a\n" + b"0" * 64 + b"  data/b\n"
    assert b"Payload-Oxum: 7.2\n" in tags["bag-info.txt"]
    assert b"manifest-sha256.txt\n" in tags["tagmanifest-sha256.txt"]
