"""Text from outside takes one line, and changes nothing that stands beside it."""

from kg.text import printable


def test_what_controls_a_terminal_or_turns_text_round_is_shown() -> None:
    assert printable("a\nb\x1b[31m\u2028") == "a\\nb\\x1b[31m\\u2028"
    assert printable("\u202egpj.exe\u2066") == "\\u202egpj.exe\\u2066"
    assert printable("שיר \u200f(2)") == "שיר \u200f(2)"
    assert printable("caf\udce9") == "caf\\xe9"
