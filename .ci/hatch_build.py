"""Puts the device programs, built for every ABI, into a wheel: ``LEADLINE_PREBUILT=1 python -m build --wheel``.

A list such as ``LEADLINE_PREBUILT=agent-aarch64,agent-x86_64`` takes only these. Without the variable the wheel carries
their sources alone, and they are built on first use.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PrebuiltPrograms(BuildHookInterface):  # type: ignore[type-arg]
    def dependencies(self) -> list[str]:
        wanted = ("msgspec", "ziglang")
        return [d for d in self.metadata.core.dependencies if d.startswith(wanted)] if self._asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not self._asked() or version == "editable":
            return
        root = Path(self.root)
        sys.path[:0] = [str(root / "harness"), str(root / "rpc")]
        from leadline.rpc.build import build_prebuilt, programs

        asked = os.environ["LEADLINE_PREBUILT"]
        names = programs() if asked == "1" else asked.split(",")
        build = root / "build"
        made = build_prebuilt(build / "prebuilt", names, cache=build / "cache", progress=self.app.display_info)
        build_data["force_include"] |= {str(path): f"leadline/rpc/prebuilt/{path.name}" for path in made}

    def _asked(self) -> bool:
        return bool(os.environ.get("LEADLINE_PREBUILT"))
