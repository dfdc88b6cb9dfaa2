"""The units of routes.yaml: "30s", "8k", "1GiB", "5%" and money become numbers here, once, at the door.

Letters may have any case. Numbers in text are plain decimals (`1.5`, never `1e3`), so that no text can ask for an
enormous computation. Every parser raises ValueError as `what is wrong; what to write instead`, for anything that is
negative, not finite or not in its unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from types import MappingProxyType
from typing import Any, Final

_SECONDS: Final = MappingProxyType(
    {
        "": Decimal(1),
        "ms": Decimal("0.001"),
        "s": Decimal(1),
        "m": Decimal(60),
        "h": Decimal(3600),
        "d": Decimal(86_400),
        "w": Decimal(604_800),
    }
)
_COUNTS: Final = MappingProxyType({"": Decimal(1), "k": Decimal(1000), "m": Decimal(1_000_000)})
_BYTES: Final = MappingProxyType(
    {"": Decimal(1), "b": Decimal(1)}
    | {f"{letter}b": Decimal(1000**power) for power, letter in enumerate("kmgt", 1)}
    | {f"{letter}ib": Decimal(1024**power) for power, letter in enumerate("kmgt", 1)}
)
_ONE: Final = MappingProxyType({"": Decimal(1)})
_PERCENTS: Final = MappingProxyType({"": Decimal(1), "%": Decimal("0.01")})

_DURATION_FORMS: Final = "write 500ms, 30s, 2m, 24h, 7d or a number of seconds"
_COUNT_FORMS: Final = "write a whole number such as 8000, 8k or 1.5M"
_SIZE_FORMS: Final = "write 512MiB, 1GiB, 500MB or a number of bytes"
_PERCENT_FORMS: Final = "write 5%, or a fraction from 0 to 1"
_USD_FORMS: Final = "write a number such as 5 or 0.25"
_NUMBER_FORMS: Final = "write a number such as 1 or 0.2"

_CENTURY_S: Final = 36_525 * 86_400.0
_LONGEST_NUMBER: Final = 30  # digits; more is a slip, and never a time, a count or an amount
_SHOWN: Final = 60
_NANO: Final = 1_000_000_000


def duration(value: object) -> float:
    """Return seconds for "500ms", "30s", "2m", "24h", "7d", "2w", a number of seconds, or a timedelta.

    More than a century counts as a century: beyond it, the clocks of operating systems cannot wait.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return min(float(_parse(value, _SECONDS, "a duration", _DURATION_FORMS)), _CENTURY_S)


def count(value: object) -> int:
    """Return the whole number in 8000, "8000", "8k" or "1.5M"."""
    return _whole(_parse(value, _COUNTS, "a count", _COUNT_FORMS), value, "a count", _COUNT_FORMS)


def size(value: object) -> int:
    """Return bytes for "512MiB" and "1GiB" (powers of 1024), "500MB" and "2kB" (powers of 1000), or a number."""
    return _whole(_parse(value, _BYTES, "a size", _SIZE_FORMS), value, "a size", _SIZE_FORMS)


def percent(value: object) -> float:
    """Return a fraction from 0 to 1 for "5%" (0.05) or 0.05."""
    fraction = _parse(value, _PERCENTS, "a percentage", _PERCENT_FORMS)
    if fraction > 1:
        raise _refused(value, "a percentage", _PERCENT_FORMS)
    return float(fraction)


def number(value: object) -> float:
    """Return a number without a unit, from 0 up: 0.2 or "0.2"."""
    return float(_parse(value, _ONE, "a number", _NUMBER_FORMS))


def amount(value: object) -> Decimal:
    """Return an exact amount of USD. A float counts as the decimal it prints as: 0.1 is a tenth."""
    return _parse(value, _ONE, "an amount of USD", _USD_FORMS)


def nano_usd(value: object) -> int:
    """Return whole billionths of a USD for an amount in USD, rounded half to even."""
    with localcontext() as context:
        context.prec = 400  # room for the largest float: scaling must never round by itself
        return int((amount(value) * _NANO).to_integral_value(ROUND_HALF_EVEN))


def usd(nano: int) -> float:
    """Return USD for billionths of a USD."""
    return nano / _NANO


def show_usd(value: float | Decimal | None) -> str:
    """Return USD for people: "$1,234.50", "$0.0025", "$0.0000021"; "unknown" for None."""
    if value is None:
        return "unknown"
    if value == 0 or value >= 1:
        return f"${value:,.2f}"
    places = max(4, 1 - math.floor(math.log10(value)))  # never fewer than two significant digits
    whole, _, fraction = f"{value:.{places}f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def show_duration(seconds: float) -> str:
    """Return a duration as the file would write it: "2m", "1.5s", "500ms"; `duration` reads it back."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "m") if exact >= 1 else ("ms",):
        quotient = exact / _SECONDS[unit]
        if quotient >= 1 and quotient == quotient.to_integral_value():
            return f"{quotient:.0f}{unit}"
    return f"{exact.normalize():f}s"


def shown(value: object) -> str:
    """Return `value` as error messages quote it: as the file would write it, cut to a readable length."""
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _parse(value: object, scales: Mapping[str, Decimal], what: str, forms: str) -> Decimal:
    """Return `value` in the base unit of `scales`."""
    number = _scaled(value, scales) if isinstance(value, str) else _finite(value)
    if number is None or number < 0:
        raise _refused(value, what, forms)
    return number


def _scaled(text: str, scales: Mapping[str, Decimal]) -> Decimal | None:
    stripped = text.strip().lower()
    digits = stripped.rstrip("%abcdefghijklmnopqrstuvwxyz")
    scale, number = scales.get(stripped[len(digits) :]), digits.rstrip()
    if scale is None or not _is_plain_decimal(number):
        return None
    return Decimal(number) * scale


def _is_plain_decimal(text: str) -> bool:
    whole, dot, fraction = text.partition(".")
    parts = (whole, fraction) if dot else (whole,)
    return len(text) <= _LONGEST_NUMBER and all(part.isascii() and part.isdigit() for part in parts)


def _finite(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        finite = math.isfinite(value)
    except (OverflowError, ValueError):  # an int beyond every float; a signalling NaN
        return None
    # repr is the shortest decimal that means this float; Decimal(0.1) would carry its binary noise along.
    return Decimal(repr(value) if isinstance(value, float) else value) if finite else None


def _whole(number: Decimal, value: object, what: str, forms: str) -> int:
    if number != number.to_integral_value():
        raise _refused(value, what, forms)
    return int(number)


def _refused(value: object, what: str, forms: str) -> ValueError:
    return ValueError(f"{shown(value)} is not {what}; {forms}")
