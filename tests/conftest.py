"""Fixtures that several rooms' tests share live in tests/support."""

from hypothesis import settings

settings.register_profile("leadline", deadline=None)  # tests never assert a time, and the first example may import much
settings.load_profile("leadline")

pytest_plugins = [
    "tests.support.sshd",
    "tests.support.adb",
    "tests.support.command_line",
    "tests.support.lab",
]
