"""The shape of the house, as far as no linter guards it."""

from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_leadline_is_a_namespace_of_three_portions() -> None:
    for portion in ("harness", "rpc", "search"):
        assert (ROOT / portion / "leadline").is_dir()
        assert not (ROOT / portion / "leadline" / "__init__.py").exists()


def test_every_room_says_in_one_docstring_what_it_is_for() -> None:
    for room in ROOT.glob("*/leadline/**/__init__.py"):
        assert room.read_text().startswith('"""'), room
