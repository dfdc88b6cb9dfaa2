"""All rows of all providers; a recording without a row fails a test."""

from __future__ import annotations

from typing import Final

from tests.wire import expectations_anthropic, expectations_compatible, expectations_google, expectations_openai
from tests.wire.rows import Failed, Row, Said

ROWS: Final[tuple[Row, ...]] = (
    *expectations_openai.ROWS,
    *expectations_compatible.ROWS,
    *expectations_anthropic.ROWS,
    *expectations_google.ROWS,
)
ANSWERS: Final = tuple(row for row in ROWS if isinstance(row, Said))
FAILURES: Final = tuple(row for row in ROWS if isinstance(row, Failed))
