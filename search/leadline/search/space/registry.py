"""The spaces by name."""

from __future__ import annotations

from typing import Any

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.search.space import mobilenet_v2
from leadline.search.space.base import Space

SPACES: dict[str, Space[Any]] = {mobilenet_v2.SPACE.name: mobilenet_v2.SPACE}


def find_space(name: str) -> Space[Any]:
    """The space called `name`. Raises: BadInput naming the ones there are."""
    if name not in SPACES:
        raise BadInput(f"search space '{printable(name)}': unknown; there are: {', '.join(SPACES)}")
    return SPACES[name]
