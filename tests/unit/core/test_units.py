import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.core.units import format_bytes, format_count, format_cpu_list, format_ns, parse_cpu_list


def test_cpu_lists_are_read_as_the_kernel_writes_them() -> None:
    assert parse_cpu_list("0-3,6\n") == (0, 1, 2, 3, 6)
    assert parse_cpu_list("") == ()


@given(st.sets(st.integers(0, 1023)))
def test_a_cpu_list_survives_being_written_and_read(cpus: set[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus)) == tuple(sorted(cpus))


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-1", "1;2", "0x1", "1--2", "²"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="write it like 0-3,6"):
        parse_cpu_list(text)


@pytest.mark.parametrize(
    ("ns", "shown"), [(0, "0 ns"), (812, "812 ns"), (4_212_345, "4.21 ms"), (15_040, "15.0 µs"), (1.08e9, "1.08 s")]
)
def test_durations_have_three_significant_digits(ns: float, shown: str) -> None:
    assert format_ns(ns) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (7 * 2**20, "7.00 MiB")]
)
def test_sizes_are_binary(count: int, shown: str) -> None:
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0"), (999, "999"), (509_374_560, "509 M"), (1_018_749_120, "1.02 G")]
)
def test_counts_are_in_thousands(count: int, shown: str) -> None:
    assert format_count(count) == shown
