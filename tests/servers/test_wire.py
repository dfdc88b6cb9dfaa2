"""The replay server gives back what was recorded, byte for byte."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given, strategies as st

from tests.conftest import WireServers
from tests.servers.wire import cases, cut, load


@given(st.binary(max_size=3000), st.integers())
def test_cutting_loses_nothing(body: bytes, seed: int) -> None:
    assert b"".join(cut(body, seed)) == body


@pytest.mark.parametrize("case", cases()[::12])
def test_a_recorded_answer_comes_back(wire_server: WireServers, case: str) -> None:
    server = wire_server(case, seed=1)
    for exchange in load(case):
        response = httpx2.post(server.url, json={})
        assert (response.status_code, response.content) == (exchange.status, exchange.body)
