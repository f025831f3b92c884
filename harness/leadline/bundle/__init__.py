"""The exported archive that others can check: export, verify, import."""
