"""``leadline model``: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leadline.search.model.files import save_model
from leadline.search.space.network import Conv, single
from tests.support.tflite_files import model_of, pack

LAYER = single(Conv(4, 1), (1, 2, 2, 8))


def leadline(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it: a process of its own, standard output not a terminal."""
    return subprocess.run(
        [sys.executable, "-c", "from leadline.cli.main import main; main()", *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_sample_writes_networks_and_prints_one_line_for_each(tmp_path: Path) -> None:
    done = leadline("model", "sample", "mobilenet_v2", "-n", 2, "--seed", 3, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path / "out")) == [f"mobilenet_v2-seed3-00{i}.tflite" for i in (0, 1)]
    header, rule, *rows = done.stdout.splitlines()
    assert header.split() == ["file", "FLOPs", "parameters", "size", "SHA-256"]
    assert set(rule) == {"─"}
    assert [row.split()[0] for row in rows] == [str(tmp_path / f"out/mobilenet_v2-seed3-00{i}.tflite") for i in (0, 1)]


def test_sample_prints_json_for_scripts(tmp_path: Path) -> None:
    done = leadline("model", "sample", "mobilenet_v2", "-n", 1, "--int8", "--json", "-o", tmp_path)
    (artifact,) = json.loads(done.stdout)
    assert artifact["name"] == "mobilenet_v2-seed0-000-int8.tflite"
    assert artifact["architecture"].startswith("mobilenet_v2:k")
    assert Path(artifact["path"]).stat().st_size == artifact["size_bytes"]


def test_sample_again_changes_nothing_and_a_different_file_stops_it(tmp_path: Path) -> None:
    command = ("model", "sample", "mobilenet_v2", "-n", 1, "-o", tmp_path)
    first, second = leadline(*command), leadline(*command)
    assert first.stdout == second.stdout
    (tmp_path / "mobilenet_v2-seed0-000.tflite").write_bytes(b"mine")
    third = leadline(*command)
    assert third.returncode == 2
    assert "holds something else; move it away or choose another folder" in third.stderr
    assert (tmp_path / "mobilenet_v2-seed0-000.tflite").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (("resnet", "-o", "x"), "'resnet' is not 'mobilenet_v2'"),
        (("mobilenet_v2",), "Missing option '-o'"),
        (("mobilenet_v2", "-o", "x", "-n", "0"), "0 is not in the range"),
        (("mobilenet_v2", "-o", "x", "--seed", "-1"), "-1 is not in the range"),
    ],
)
def test_sample_refuses_what_it_cannot_do(argv: tuple[str, ...], fact: str, tmp_path: Path) -> None:
    done = leadline("model", "sample", *argv)
    assert done.returncode == 2
    assert fact in done.stderr
    assert done.stdout == ""


def test_inspect_tells_what_is_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "layer.tflite"
    artifact = save_model(LAYER, path)
    done = leadline("model", "inspect", path, "--ops")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == str(path)
    for line in (
        f"SHA-256 {artifact.sha256}",
        "input input: float32 1×2×2×8",
        "output layer: float32 1×2×2×4",
        "FLOPs 256",
        "parameters 36",
        "bytes moved 336 B",
        "1 ops 1 CONV_2D",
        "0 CONV_2D 1×2×2×4 256 36 336 B",
    ):
        assert line in lines


def test_inspect_prints_json_with_every_op(tmp_path: Path) -> None:
    path = tmp_path / "layer.tflite"
    save_model(LAYER, path)
    (report,) = json.loads(leadline("model", "inspect", "--json", path).stdout)
    assert report["counts"] == {"flops": 256, "parameters": 36, "bytes_moved": 336}
    assert [op["name"] for op in report["ops"]] == ["CONV_2D"]


def test_inspect_says_which_op_keeps_the_flops_unknown(tmp_path: Path) -> None:
    path = tmp_path / "custom.tflite"
    path.write_bytes(pack(model_of([("x", (4,), None), ("y", (4,), None)], [("Magic\x1b[31m", (0,), 1)])))
    done = leadline("model", "inspect", path, "--ops")
    assert r"unknown (not told by CUSTOM Magic\x1b[31m)" in done.stdout
    assert "\x1b" not in done.stdout


def test_inspect_shows_the_good_files_and_names_the_bad_ones(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.tflite", tmp_path / "bad.tflite"
    save_model(LAYER, good)
    bad.write_text("not a model at all")
    done = leadline("model", "inspect", bad, good, tmp_path / "nothing")
    assert done.returncode == 2
    assert done.stdout.startswith(str(good))
    assert "bad.tflite: not a TFLite model" in done.stderr
    assert "nothing: cannot be read" in done.stderr


@pytest.mark.parametrize(
    "name", ["with space", "quote'\"", "new\nline", "semi;colon $(reboot)", "[red]markup", "-dash"]
)
def test_names_with_odd_characters_are_read_and_print_on_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.tflite"
    save_model(LAYER, path)
    done = leadline("model", "inspect", "--", path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == str(path).replace("\n", "\\n")


def test_an_undecodable_file_name_prints_and_goes_through_json(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tflite"))
    save_model(LAYER, path)
    assert leadline("model", "inspect", path).stdout.splitlines()[0] == f"{tmp_path}/\\udcff.tflite"
    (report,) = json.loads(leadline("model", "inspect", "--json", path).stdout)
    assert report["path"] == str(path)
