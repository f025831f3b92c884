from leadline.core.text import printable


def test_plain_text_and_accents_are_left_alone() -> None:
    assert printable("Büro Pixel 6 $(rm) ;'") == "Büro Pixel 6 $(rm) ;'"


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert printable("a\x1b[31mred\n\u202e") == "a\\x1b[31mred\\n\\u202e"


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    assert printable(b"ok \xff") == "ok \\xff"


def test_long_text_is_cut() -> None:
    assert printable("x" * 1000, limit=10) == "x" * 10 + "…"
