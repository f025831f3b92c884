"""What every command shares: the home, the lab and the store, opened when first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leadline.core.home import Home

if TYPE_CHECKING:
    from leadline.device.lab import Lab
    from leadline.store.store import Store


class App:
    """Passed as click's ``ctx.obj``; get it with ``@click.pass_obj``."""

    def __init__(self, home: Home, store_url: str | None = None) -> None:
        self.home = home
        self.store_url = store_url or home.store_url

    def lab(self) -> Lab:
        from leadline.device.lab import Lab

        return Lab.load(self.home.lab_file)

    def store(self) -> Store:
        from leadline.store.store import Store

        self.home.make()
        return Store.open(self.store_url)
