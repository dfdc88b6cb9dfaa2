"""The units of the file: what is read, what is refused, and that showing a value and reading it back is the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from llmrouter import units

PARSERS: list[Callable[[object], object]] = [
    units.duration,
    units.count,
    units.size,
    units.percent,
    units.number,
    units.amount,
    units.nano_usd,
]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("2m", 120.0),
        ("24h", 86_400.0),
        ("7d", 604_800.0),
        ("1w", 604_800.0),
        ("1.5h", 5400.0),
        ("310ms", 0.31),
        (" 2 m ", 120.0),
        ("2H", 7200.0),
        ("30", 30.0),
        (30, 30.0),
        (0.25, 0.25),
        (0, 0.0),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        ("36525d", 3_155_760_000.0),
        ("99999999d", 3_155_760_000.0),  # more than any clock can wait
        (1e300, 3_155_760_000.0),
    ],
)
def test_a_duration_is_read_as_seconds(value: object, seconds: float) -> None:
    assert units.duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "expected"), [(8000, 8000), ("8000", 8000), ("8k", 8000), ("8K", 8000), ("1.5M", 1_500_000), (8e3, 8000)]
)
def test_a_count_is_read_as_a_whole_number(value: object, expected: int) -> None:
    assert units.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("512MiB", 512 * 1024**2),
        ("1GiB", 1024**3),
        ("2kB", 2000),
        ("500MB", 500_000_000),
        ("1.5GB", 1_500_000_000),
        ("10 B", 10),
        ("7", 7),
        (4096, 4096),
    ],
)
def test_a_size_is_read_as_bytes(value: object, expected: int) -> None:
    assert units.size(value) == expected


@pytest.mark.parametrize(("value", "expected"), [("5%", 0.05), ("0.5%", 0.005), ("100%", 1.0), (0.05, 0.05), ("0", 0)])
def test_a_percentage_is_read_as_a_fraction(value: object, expected: float) -> None:
    assert units.percent(value) == expected


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        -1,
        -0.5,
        True,
        False,
        None,
        [],
        {},
        "nan",
        "inf",
        "1e3",
        "1e999999999",
        "1_000",
        "1,000",
        "٣",
        "3 apples",
        ".5",
        "5.",
        "1..2",
        "9" * 31,
        float("nan"),
        float("inf"),
        10**400,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        timedelta(seconds=-1),
    ],
)
def test_what_is_no_unit_is_refused(parse: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match="; write "):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "value"), [(units.count, "1.5"), (units.count, 0.5), (units.size, "1.5B"), (units.percent, "101%")]
)
def test_a_number_that_the_unit_cannot_have_is_refused(parse: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match="; write "):
        parse(value)


def test_a_refusal_says_which_forms_are_accepted() -> None:
    with pytest.raises(
        ValueError, match=r"^'5 apples' is not a duration; write 500ms, 30s, 2m, 24h, 7d or a number of"
    ):
        units.duration("5 apples")


def test_a_refusal_quotes_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(ValueError, match="not a count") as caught:
        units.count("x" * 10_000)
    assert len(str(caught.value)) < 200


@given(st.floats(min_value=0, max_value=1e9))
def test_any_duration_is_read_back_from_how_it_is_shown(seconds: float) -> None:
    text = units.show_duration(seconds)
    if len(text) <= 30:  # the parser's bound on digits; such a float has an exponent far below a nanosecond
        assert units.duration(text) == seconds


@given(st.integers(min_value=0, max_value=10**9), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_any_whole_number_of_any_unit_of_time_is_exact_up_to_a_century(number: int, unit: str) -> None:
    seconds = {"ms": 0, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[unit]
    exact = number * seconds if seconds else number / 1000
    assert units.duration(f"{number}{unit}") == min(exact, 36_525 * 86_400)


@given(st.integers(min_value=0, max_value=10**12))
def test_money_in_whole_billionths_survives_the_way_through_usd(nano: int) -> None:
    assert units.nano_usd(units.usd(nano)) == nano


@given(st.lists(st.decimals(min_value=0, max_value=1000, places=9), max_size=20))
def test_sums_of_money_are_exact(amounts: list[Decimal]) -> None:
    assert sum(units.nano_usd(amount) for amount in amounts) == units.nano_usd(sum(amounts, Decimal()))


@pytest.mark.parametrize(
    ("value", "nano"), [(0.1, 100_000_000), ("5.00", 5 * 10**9), (Decimal("1e-10"), 0), (1, 10**9)]
)
def test_money_is_counted_in_billionths_of_a_usd(value: object, nano: int) -> None:
    assert units.nano_usd(value) == nano


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.0025, "$0.0025"),
        (0.25, "$0.25"),
        (0.0000021, "$0.0000021"),
        (Decimal("0.5"), "$0.50"),
    ],
)
def test_money_is_shown_for_people(value: float | None, text: str) -> None:
    assert units.show_usd(value) == text


@given(st.floats(min_value=1e-12, max_value=1e9))
def test_an_amount_above_zero_is_never_shown_as_zero(value: float) -> None:
    assert units.show_usd(value).strip("$0.,") != ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (30, "30s"),
        (90, "90s"),
        (120, "2m"),
        (86_400, "1d"),
        (1.5, "1.5s"),
        (0.0004, "0.0004s"),
    ],
)
def test_a_duration_is_shown_as_the_file_would_write_it(seconds: float, text: str) -> None:
    assert units.show_duration(seconds) == text


@given(st.text(max_size=40) | st.from_regex(r"\d{1,9}(\.\d{1,5})? ?[a-zA-Z%]{0,3}", fullmatch=True))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    for parse in PARSERS:
        try:
            result = parse(text)
        except ValueError:
            continue
        assert result >= 0  # type: ignore[operator]  # every parser returns a kind of number


def test_importing_units_imports_nothing_heavy() -> None:
    code = (
        "import sys, llmrouter.units; print([m for m in ('pydantic', 'yaml', 'openai', 'loguru') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
