"""Taking a bundle into a store."""

from __future__ import annotations

from pathlib import Path

from leadline.bundle.verify import verify_bundle
from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.store.contents import Merged
from leadline.store.store import Store


def import_bundle(store: Store, path: Path) -> Merged:
    """Verify, then add what the store does not have, in one transaction. Twice changes nothing more.

    Returns: how many records were new.
    Raises: BadInput if anything is wrong with the bundle; StoreError if it contradicts what the store has.
    """
    verification = verify_bundle(path)
    if verification.contents is None:
        first, *others = verification.problems
        more = f" (and {len(others)} more)" if others else ""
        raise BadInput(f"{printable(str(path))}: {first}{more}; see: leadline bundle verify FILE")
    return store.merge(verification.contents)
