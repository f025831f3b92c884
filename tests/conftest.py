"""Fixtures that several rooms' tests share live in tests/support."""

pytest_plugins = ["tests.support.sshd", "tests.support.adb"]
