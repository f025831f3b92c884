"""Leadline's home on the host: one folder that holds the lab file, the store, caches and leases."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import platformdirs


class Home(msgspec.Struct, frozen=True):
    """Paths below one folder; makes nothing until `make` is called."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """``$LEADLINE_HOME``, else the user's data folder (``~/.local/share/leadline``)."""
        return cls(Path(os.environ.get("LEADLINE_HOME") or platformdirs.user_data_path("leadline")).absolute())

    @property
    def lab_file(self) -> Path:
        return self.root / "lab.toml"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL: ``$LEADLINE_STORE``, else a SQLite file in this folder."""
        return os.environ.get("LEADLINE_STORE") or f"sqlite:///{self.root / 'store.sqlite'}"

    @property
    def cache(self) -> Path:
        """Whatever can be built or fetched again: agents, runtimes, reference outputs."""
        return self.root / "cache"

    @property
    def leases(self) -> Path:
        return self.root / "leases"

    def make(self) -> None:
        for folder in (self.root, self.cache, self.leases):
            folder.mkdir(parents=True, exist_ok=True)
