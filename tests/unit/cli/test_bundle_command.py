"""``leadline bundle``: exit codes, what goes where, and that every option arrives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leadline.cli.main import cli
from leadline.core.errors import BadInput, LeadlineError
from leadline.store.store import Store
from tests.support.records import fill, same

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    with Store.open(f"sqlite:///{home / 'store.sqlite'}") as store:
        fill(store, serials=["0815", "4711"])
    (home / "lab.toml").write_text('[devices.kitchen]\nuri = "ssh://pi@kitchen"\nserial = "0815"\n')
    return home


@pytest.fixture
def run(home: Path) -> Run:
    def run(*arguments: str, home: Path = home) -> Result:
        result = CliRunner().invoke(cli, ["--home", str(home), "bundle", *arguments], env={"LEADLINE_STORE": None})
        if result.exception and not isinstance(result.exception, SystemExit | LeadlineError):
            raise result.exception
        return result

    return run


def test_export_verify_show_and_import_follow_each_other(run: Run, home: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "b.zip")
    exported = run("export", out)
    assert (exported.exit_code, exported.stdout) == (0, "")
    assert "5 trials, 5 attempts, 4 sweeps" in exported.stderr
    verified = run("verify", out)
    assert (verified.exit_code, verified.stdout) == (0, f"{out}: whole and consistent\n")
    elsewhere = tmp_path / "elsewhere"
    imported = run("import", out, home=elsewhere)
    assert imported.exit_code == 0
    assert "5 trials, 5 attempts, 2 profiles, 2 models, 4 sweeps" in imported.stderr
    assert "0 trials" in run("import", out, home=elsewhere).stderr
    with (
        Store.open(f"sqlite:///{home / 'store.sqlite'}") as one,
        Store.open(f"sqlite:///{elsewhere / 'store.sqlite'}") as two,
    ):
        assert same(one.contents(), two.contents())


def test_show_says_what_is_in_it(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "b.zip")
    run("export", out)
    told = json.loads(run("show", out, "--json").stdout)
    assert told["problems"] == []
    assert told["trials"] == {"done": 3, "failed": 1, "planned": 1}
    assert [device["serial"] for device in told["devices"]] == ["0815", "4711"]
    assert [device["sweeps"] for device in told["devices"]] == [2, 2]
    assert told["format"] == 2
    assert told["anonymized"] is False
    plain = run("show", out)
    assert plain.exit_code == 0
    assert "samples" in plain.stdout
    assert "first light" in plain.stdout


def test_devices_are_chosen_by_their_name_in_the_lab(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "b.zip")
    run("export", out, "--device", "kitchen")
    assert [device["serial"] for device in json.loads(run("show", out, "--json").stdout)["devices"]] == ["0815"]
    unknown = run("export", out, "--device", "cellar", "--force")
    assert isinstance(unknown.exception, BadInput)
    assert "kitchen" in str(unknown.exception)


def test_an_anonymous_export_tells_no_serial(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "b.zip")
    assert run("export", out, "--anonymize").exit_code == 0
    told = run("show", out, "--json").stdout
    assert json.loads(told)["anonymized"] is True
    assert '"0815"' not in told
    assert "first light" not in told


def test_since_narrows_the_export(run: Run, tmp_path: Path) -> None:
    result = run("export", str(tmp_path / "b.zip"), "--since", "2099-01-01")
    assert isinstance(result.exception, BadInput)
    assert "nothing to export" in str(result.exception)


def test_models_that_are_gone_are_told(run: Run, tmp_path: Path) -> None:
    result = run("export", str(tmp_path / "b.zip"), "--models")
    assert isinstance(result.exception, BadInput)
    assert "without --models" in str(result.exception)


def test_an_existing_file_needs_force(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "b.zip")
    run("export", out)
    assert isinstance(run("export", out).exception, BadInput)
    assert run("export", out, "--force").exit_code == 0


def test_verify_lists_every_problem_and_fails(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    run("export", str(out))
    content = bytearray(out.read_bytes())
    for name in (b"data/ops.parquet", b"data/trials.parquet"):
        content[content.index(name) + len(name) + 20] ^= 1
    out.write_bytes(content)
    verified = run("verify", str(out))
    assert verified.exit_code == 1
    assert "data/ops.parquet: cannot be read" in verified.stdout
    assert "data/trials.parquet: cannot be read" in verified.stdout
    assert "do not use it" in verified.stderr
    shown = run("show", str(out), "--json")
    assert shown.exit_code == 1
    assert len(json.loads(shown.stdout)["problems"]) == 2
    assert isinstance(run("import", str(out)).exception, BadInput)


@pytest.mark.parametrize("command", ["verify", "import", "show"])
def test_a_file_that_is_no_bundle_is_told(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "b.zip").write_text("hello")
    for name in ("b.zip", "nosuch.zip"):
        result = run(command, str(tmp_path / name))
        assert isinstance(result.exception, BadInput)
        assert result.stdout == ""


@pytest.mark.parametrize("command", [[], ["export"], ["verify"], ["import"], ["show"]])
def test_every_command_has_help(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 4
