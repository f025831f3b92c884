"""What every search space can do."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from leadline.search.space.network import Network

A = TypeVar("A")  # an architecture: one point of the space


class Space(Protocol[A]):
    """A finite set of network architectures.

    `decode(encode(a)) == a`, and two architectures with equal texts are the same network.
    """

    @property
    def name(self) -> str:
        """What encodings start with, and what the command line calls the space."""
        ...

    def sample(self, rng: np.random.Generator) -> A:
        """An architecture at random; the same generator state gives the same one."""
        ...

    def encode(self, architecture: A) -> str:
        """``<name>:<choices>``: compact, one line, ASCII. Raises: BadInput naming the slot that does not fit."""
        ...

    def decode(self, text: str) -> A:
        """The inverse of `encode`. Raises: BadInput naming the slot that does not fit."""
        ...

    def blocks(self, architecture: A) -> tuple[Network, ...]:
        """The network in pieces that run one after the other: the entries of its lookup table."""
        ...

    def network(self, architecture: A) -> Network:
        """The pieces as one network."""
        ...
