"""A bundle holds what the store held, in a form that needs no Leadline to check or read."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import bagit
import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.bundle.export import export_bundle, write_bundle
from leadline.bundle.importing import import_bundle
from leadline.bundle.tables import SCHEMAS, contents_of, tables_of
from leadline.bundle.verify import verify_bundle
from leadline.core.errors import BadInput, StoreError
from leadline.records.trial import Block, Launch, OpTime
from leadline.store.contents import Contents
from leadline.store.store import Store
from tests.support.records import (
    fill,
    make_artifact,
    make_attempt,
    make_campaign,
    make_conditions,
    make_launch,
    make_profile,
    make_ready,
    make_sweep,
    make_trial,
    same,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        fill(store)
        yield store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'other.sqlite'}") as store:
        yield store


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_export_verify_import_export_gives_the_same_bytes(store: Store, other: Store, tmp_path: Path) -> None:
    fill(store, 2, serials=["cam"])
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    export_bundle(store, one)
    assert verify_bundle(one).problems == ()
    import_bundle(other, one)
    export_bundle(other, two)
    assert one.read_bytes() == two.read_bytes()
    assert same(store.contents(), other.contents())


def test_the_same_store_exports_the_same_bytes(store: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "one.zip")
    export_bundle(store, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_importing_twice_changes_nothing(store: Store, other: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "b.zip")
    first = import_bundle(other, tmp_path / "b.zip")
    before = other.contents()
    again = import_bundle(other, tmp_path / "b.zip")
    assert (first.trials, first.attempts, first.sweeps) == (5, 5, 4)
    assert set(msgspec.structs.asdict(again).values()) == {0}
    assert same(other.contents(), before)


def test_a_bundle_that_contradicts_the_store_is_refused_whole(store: Store, other: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "b.zip")
    contents = store.contents()
    trials = [msgspec.structs.replace(trial, model_name="other") for trial in contents.trials]
    other.merge(Contents(campaigns=contents.campaigns, artifacts=contents.artifacts, trials=tuple(trials[-1:])))
    before = other.contents()
    with pytest.raises(StoreError, match="model_name"):
        import_bundle(other, tmp_path / "b.zip")
    assert same(other.contents(), before)


def test_sha256sum_checks_the_unzipped_bundle(store: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "b.zip")
    subprocess.run(["unzip", "-q", "b.zip"], cwd=tmp_path, check=True)
    folder = tmp_path / "leadline-bundle"
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        subprocess.run(["sha256sum", "--strict", "--quiet", "-c", manifest], cwd=folder, check=True)
    (folder / "data" / "samples.parquet").write_bytes(b"")
    changed = subprocess.run(["sha256sum", "-c", "manifest-sha256.txt"], cwd=folder, capture_output=True, text=True)
    assert changed.returncode == 1
    assert "data/samples.parquet: FAILED" in changed.stdout


def test_the_library_of_congress_tool_accepts_the_bag(store: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "b.zip")
    shutil.unpack_archive(tmp_path / "b.zip", tmp_path)
    assert bagit.Bag(str(tmp_path / "leadline-bundle")).validate()


def test_the_tables_read_without_leadline(store: Store, tmp_path: Path) -> None:
    export_bundle(store, tmp_path / "b.zip")
    files = members(tmp_path / "b.zip")
    package = json.loads(files["leadline-bundle/data/datapackage.json"])
    tables = {}
    for resource in package["resources"]:
        content = files[f"leadline-bundle/data/{resource['path']}"]
        assert resource["bytes"] == len(content)
        assert resource["hash"] == f"sha256:{sha256(content).hexdigest()}"
        table = tables[resource["name"]] = pl.read_parquet(io.BytesIO(content))
        assert [field["name"] for field in resource["schema"]["fields"]] == table.columns
        assert resource["rows"] == table.height
        key = resource["schema"]["primaryKey"]
        assert table.select(key).is_unique().all()
    for resource in package["resources"]:
        for foreign in resource["schema"]["foreignKeys"]:
            to = foreign["reference"]
            known = tables[to["resource"]].select(to["fields"]).to_series()
            assert tables[resource["name"]][foreign["fields"][0]].is_in(known.implode()).all()
    attempt = next(attempt for attempt in store.attempts() if attempt.outcome == "done")
    timed = tables["samples"].filter((pl.col("attempt_id") == attempt.id) & ~pl.col("warmup"))
    walls = [b.wall_ns for launch in attempt.launches for b in launch.blocks if not b.warmup]
    assert timed["wall_ns"].to_list() == np.concatenate(walls).tolist()
    units = {f["name"]: f.get("unit") for r in package["resources"] for f in r["schema"]["fields"]}
    assert (units["wall_ns"], units["memory_bytes"], units["temps_c"]) == ("ns", "B", "degC")


FORMAT_2 = "091dfa61016efef5"


def test_the_columns_are_those_of_this_format(store: Store) -> None:
    """If this fails, the records have changed, and with them what a bundle holds: raise BUNDLE_FORMAT, say so in
    docs/bundle.md, and put the new digest here."""
    columns = json.dumps({name: {c: str(t) for c, t in schema.items()} for name, schema in SCHEMAS.items()})
    assert sha256(columns.encode()).hexdigest()[:16] == FORMAT_2


def test_a_narrowed_bundle_holds_only_what_was_asked_for(store: Store, other: Store, tmp_path: Path) -> None:
    others = fill(store, 2, serials=["cam"])
    export_bundle(store, tmp_path / "b.zip", serials=["cam"])
    import_bundle(other, tmp_path / "b.zip")
    assert {trial.id for trial in other.trials()} == {trial.id for trial in others}
    assert [profile.serial for profile in other.profiles()] == ["cam"]
    assert other.trials() == store.trials(campaign_id=others[0].campaign_id)
    assert other.sweeps() == store.sweeps(serials=["cam"])
    campaign = export_bundle(store, tmp_path / "c.zip", campaign_id=others[0].campaign_id)
    assert same(campaign, msgspec.structs.replace(other.contents(), sweeps=()))


def test_sweeps_alone_are_enough_for_a_bundle(other: Store, tmp_path: Path) -> None:
    sweep = make_sweep(random.Random(5), "pi4")
    other.save_sweep(sweep)
    export_bundle(other, tmp_path / "b.zip")
    contents = verify_bundle(tmp_path / "b.zip").contents
    assert contents is not None
    assert contents.sweeps == (sweep,)


def test_a_trial_under_way_is_only_planned_in_a_bundle(store: Store, other: Store, tmp_path: Path) -> None:
    waiting = store.trials(states=["planned"])[0]
    store.start(waiting.id)
    export_bundle(store, tmp_path / "b.zip")
    import_bundle(other, tmp_path / "b.zip")
    assert other.trial(waiting.id).state == "planned"
    assert store.trial(waiting.id).state == "running"


def test_nothing_to_export_is_told(other: Store, store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to export"):
        export_bundle(other, tmp_path / "b.zip")
    with pytest.raises(BadInput, match="nothing to export"):
        export_bundle(store, tmp_path / "b.zip", serials=["nosuch"])
    assert not (tmp_path / "b.zip").exists()


def test_an_existing_file_is_replaced_only_if_forced(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    out.write_text("dear")
    with pytest.raises(BadInput, match=r"exists already; .*--force"):
        export_bundle(store, out)
    assert out.read_text() == "dear"
    export_bundle(store, out, force=True)
    assert verify_bundle(out).ok


def test_an_export_that_fails_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leadline.bundle.export.write_bag", full)
    with pytest.raises(BadInput, match="No space left on device"):
        export_bundle(store, folder / "b.zip")
    assert list(folder.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "b.zip"
    out.parent.mkdir()
    monkeypatch.setattr("leadline.bundle.export.write_bag", lambda *_: out.write_text("dear"))
    with pytest.raises(BadInput, match="exists already"):
        export_bundle(store, out)
    assert [path.read_text() for path in out.parent.iterdir()] == ["dear"]


def test_a_missing_folder_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file or directory"):
        export_bundle(store, tmp_path / "nosuch" / "b.zip")


def with_models(store: Store, folder: Path) -> list[Path]:
    """Makes the files that the artifacts of `store` say they are."""
    rng = random.Random(9)
    campaign = make_campaign(rng)
    store.save_campaign(campaign)
    paths = []
    for number in range(2):
        path = folder / f"model {number}.tflite"
        path.write_bytes(rng.randbytes(5000))
        digest = sha256(path.read_bytes()).hexdigest()
        artifact = make_artifact(rng, sha256=digest, path=str(path), size_bytes=5000)
        store.save_artifact(artifact)
        store.plan([make_trial(rng, campaign, "pi4", artifact)])
        paths.append(path)
    return paths


def test_model_files_travel_under_their_hash(other: Store, tmp_path: Path) -> None:
    paths = with_models(other, tmp_path)
    export_bundle(other, tmp_path / "b.zip", models=True)
    files = members(tmp_path / "b.zip")
    for path in paths:
        name = f"leadline-bundle/data/models/{sha256(path.read_bytes()).hexdigest()}.tflite"
        assert files[name] == path.read_bytes()
    assert verify_bundle(tmp_path / "b.zip").models == 2
    assert verify_bundle(tmp_path / "b.zip").ok


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_model_file_that_is_not_what_was_measured_is_told(other: Store, tmp_path: Path, damage: str) -> None:
    path = with_models(other, tmp_path)[1]
    path.unlink() if damage == "gone" else path.write_bytes(b"x")
    with pytest.raises(BadInput, match=r"model 1\.tflite.*without --models"):
        export_bundle(other, tmp_path / "b.zip", models=True)
    assert not (tmp_path / "b.zip").exists()


def test_an_anonymous_bundle_names_no_device_no_path_and_no_message(store: Store, other: Store, tmp_path: Path) -> None:
    rng = random.Random(4)
    campaign = make_campaign(rng, name="annas secret project")
    artifact = make_artifact(rng, "/home/anna/net", path="/home/anna/net.tflite")
    store.save_campaign(campaign)
    store.save_artifact(artifact)
    trial = make_trial(rng, campaign, "SERIAL-0815", artifact)
    store.save_profile(make_profile(rng, "SERIAL-0815"))
    store.plan([trial])
    store.commit(make_attempt(rng, trial, "failed", error="annas-pi: silent", warnings=("annas-pi is hot",)))
    store.save_sweep(make_sweep(rng, "SERIAL-0815", warnings=("annas-pi lost CPU 5",)))
    export_bundle(store, tmp_path / "b.zip", anonymize=True)
    assert verify_bundle(tmp_path / "b.zip").ok
    import_bundle(other, tmp_path / "b.zip")
    told = repr(other.contents()).lower()
    for secret in ("anna", "serial-0815", "pi4", "phone 7", "first light", "/models/", "silent", store.salt()):
        assert secret not in told
    assert {trial.model_name for trial in other.trials()} == {"net", "net 0", "net 1"}


def test_anonymous_names_are_stable_within_a_store_and_differ_between_stores(
    store: Store, other: Store, tmp_path: Path
) -> None:
    fill(other)

    def serials(of: Store, name: str) -> list[str]:
        return [trial.serial for trial in export_bundle(of, tmp_path / name, anonymize=True).trials]

    assert serials(store, "1.zip") == serials(store, "2.zip")
    assert set(serials(store, "3.zip")).isdisjoint(serials(other, "4.zip"))
    assert len(set(serials(store, "5.zip"))) == 2


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
numbers = st.floats()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    name=texts,
    error=st.none() | texts,
    samples=st.lists(st.tuples(*3 * [st.integers(-(2**63), 2**63 - 1)]), max_size=4),
    temps=st.dictionaries(texts, numbers, max_size=3),
    number=numbers,
)
def test_any_contents_survive_the_tables(seed, name, error, samples, temps, number) -> None:
    rng = random.Random(seed)
    campaign = make_campaign(rng, name=name, versions={name: name, "x": ""})
    artifact = make_artifact(rng, name)
    trials = [make_trial(rng, campaign, name, artifact) for _ in range(3)]
    arrays = np.array(samples, np.int64).reshape(-1, 3).T
    conditions = msgspec.structs.replace(make_conditions(rng), temps_c=temps, load_1min=number)
    blocks = tuple(
        Block(warmup=warmup, wall_ns=arrays[0], cpu_ns=arrays[1], switches=arrays[2], conditions=read)
        for warmup, read in [(True, None), (False, conditions), (True, conditions)]
    )
    ready = make_ready(rng)
    prints = (msgspec.structs.replace(ready.fingerprints[0], mean=number, head=(number,)),)
    launch = Launch(
        index=5,
        ready=msgspec.structs.replace(ready, fingerprints=prints, inputs=()),
        peak_rss_bytes=None,
        stop="interrupted",
        blocks=blocks,
        ops=(OpTime(index=0, name=name, delegated=False, median_ns=number, runs=1),) * 2,
    )
    odd = make_attempt(rng, trials[0], "interrupted", error=error, warnings=(name, ""), launches=0)
    contents = Contents(
        campaigns=(campaign,),
        profiles=(make_profile(rng, name, model=error),),
        artifacts=(artifact,),
        trials=tuple(trials),
        attempts=(
            msgspec.structs.replace(odd, launches=(launch, make_launch(rng), launch)),
            make_attempt(rng, trials[1], "failed"),
            make_attempt(rng, trials[2]),
        ),
    )
    assert same(contents_of(tables_of(contents)), contents)


def test_empty_contents_survive_the_tables() -> None:
    assert same(contents_of(tables_of(Contents())), Contents())


def test_the_archive_format_is_what_it_was(tmp_path: Path) -> None:
    """Guards against a zipfile module that writes the same members in other bytes: old bundles would fail to verify."""
    from leadline.bundle.bag import Payload, write_bag

    out = io.BytesIO()
    write_bag(out, {"a": Payload.of(b"hello"), "models/b": Payload.of(b"")})
    assert sha256(out.getvalue()).hexdigest() == "e5652bd2664fd714a9116f58dfe604fbe5cc455e3a49da76258ed0cfd52016bc"


def test_written_bundles_hold_the_given_contents(store: Store, tmp_path: Path) -> None:
    contents = store.contents()
    with (tmp_path / "b.zip").open("wb") as out:
        write_bundle(out, contents, anonymized=False)
    verification = verify_bundle(tmp_path / "b.zip")
    assert same(verification.contents, contents)
    assert verification.about is not None
    assert verification.about.bundle_format == 2
