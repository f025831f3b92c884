"""From a user's file to an artifact: sound files are named by their content, others refused with name and fact."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from leadline.core.errors import BadInput
from leadline.records.trial import Artifact
from leadline.search.model.inspect import inspect_file
from tests.support.tiny_models import conv_net

CONTENT = conv_net()


def artifact_from_file(path: Path | str) -> Artifact:
    return inspect_file(Path(path)).artifact()


def written(path: Path, content: bytes = CONTENT) -> Path:
    path.write_bytes(content)
    return path


def test_an_artifact_is_named_by_its_content(tmp_path: Path) -> None:
    artifact = artifact_from_file(written(tmp_path / "net.tflite"))
    assert artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert artifact.name == "net.tflite"
    assert artifact.size_bytes == len(CONTENT)
    assert artifact.flops == inspect_file(tmp_path / "net.tflite").counts.flops


def test_a_relative_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "net.tflite")
    monkeypatch.chdir(tmp_path)
    assert artifact_from_file("net.tflite").path == str(tmp_path / "net.tflite")


@pytest.mark.parametrize("name", ["with space", "it's", 'a"b', "a;b", "$(touch x)", "-rf", "line\nbreak", "ünïcödé"])
def test_any_name_is_kept_as_it_is(tmp_path: Path, name: str) -> None:
    artifact = artifact_from_file(written(tmp_path / name))
    assert artifact.name == name
    assert Path(artifact.path).read_bytes() == CONTENT


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.tflite"
    Path(os.fsdecode(path)).write_bytes(CONTENT)
    with pytest.raises(BadInput, match="UTF-8"):
        artifact_from_file(os.fsdecode(path))


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "empty"),
        (b"TFL3", "not a TFLite model"),
        (b"\0" * 100, "not a TFLite model"),
        (b"\x1c\0\0\0TFL3" + b"\xff" * 90, "broken or truncated"),
        (CONTENT[: len(CONTENT) // 2], "broken or truncated"),
        (CONTENT[:-8], "broken or truncated"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused(tmp_path: Path, content: bytes, fact: str) -> None:
    with pytest.raises(BadInput, match=fact) as caught:
        artifact_from_file(written(tmp_path / "bad.tflite", content))
    assert "bad.tflite" in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        artifact_from_file(tmp_path / "missing.tflite")
    with pytest.raises(BadInput, match="not a regular file"):
        artifact_from_file(tmp_path)
    with pytest.raises(BadInput, match="not a regular file"):
        artifact_from_file("/dev/null")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(BadInput, match="not a regular file"):
        artifact_from_file(tmp_path / "pipe.tflite")


def test_a_terminal_cannot_be_reached_through_a_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        artifact_from_file(written(tmp_path / "a\x1b[2Jb", b"x"))
    assert "\x1b" not in str(caught.value)
