"""The fault server does what its verbs say, as a client without any retries sees it."""

from __future__ import annotations

import socket
import ssl
import time

import httpx2
import pytest

from tests.conftest import FaultServers
from tests.isolation import NetworkForbiddenError
from tests.servers.faults import FaultServer, Script, by_model, by_path, refused_port, unanswered_port
from tests.servers.replies import (
    Reply,
    broken_gzip,
    html,
    invalid_utf8,
    json_reply,
    redirect,
    reset_before_headers,
    silence,
    spoiled,
    sse,
)
from tests.servers.tls import Authority

WORDS = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]


def ask(server: FaultServer, json: object = None, timeout: float = 5.0) -> httpx2.Response:
    """Send one request to the server."""
    return httpx2.post(f"{server.url}/v1/ask", json=json or {"model": "m"}, timeout=timeout)


def received(server: FaultServer) -> bytes:
    """Send one request and read bytes until the server closes, whatever HTTP says about it."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        connection.settimeout(5)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_request_is_remembered_as_it_came(fault_server: FaultServers) -> None:
    server = fault_server(json_reply({"ok": True}))
    assert ask(server, {"model": "m", "stream": True}).json() == {"ok": True}
    [request] = server.requests
    assert (request.method, request.path, request.json) == ("POST", "/v1/ask", {"model": "m", "stream": True})
    assert (request.model, request.streamed, request.connection) == ("m", True, 1)


def test_a_script_is_spent_in_turn_and_then_refuses(fault_server: FaultServers) -> None:
    server = fault_server([json_reply({}, 500), json_reply({})])
    assert [ask(server).status_code for _ in range(3)] == [500, 200, 418]


def test_one_client_keeps_its_connection(fault_server: FaultServers) -> None:
    server = fault_server(json_reply({}))
    with httpx2.Client() as client:
        assert [client.get(server.url).status_code for _ in range(3)] == [200] * 3
        assert (server.connections, server.open_connections) == (1, 1)
    assert server.wait_for(lambda s: s.open_connections == 0)


def test_each_model_has_its_own_script(fault_server: FaultServers) -> None:
    server = fault_server(by_model(gpt_6=json_reply({"n": 1}), claude_5_5=[json_reply({"n": 2})]))
    assert [ask(server, {"model": m}).json().get("n") for m in ("claude-5.5", "gpt-6", "claude-5.5")] == [2, 1, None]


def test_each_path_has_its_own_script(fault_server: FaultServers) -> None:
    server = fault_server(by_path({"/ask": json_reply({}), "/other": json_reply({}, 500)}))
    assert (ask(server).status_code, httpx2.get(f"{server.url}/other").status_code) == (200, 500)


def test_a_stream_comes_in_its_chunks_with_its_delays(fault_server: FaultServers) -> None:
    server = fault_server(sse(WORDS).delayed(0.05))
    with httpx2.stream("POST", server.url) as response:
        times = [(time.monotonic(), chunk) for chunk in response.iter_raw()]
    assert [chunk for _, chunk in times] == WORDS
    assert times[-1][0] - times[0][0] > 0.08


BROKEN_OFF: dict[str, tuple[Script, type[Exception]]] = {
    "reset before the headers": (reset_before_headers(), httpx2.ReadError),
    "silence": (silence(0.01), httpx2.RemoteProtocolError),
    "silence beyond the client's patience": (silence(30), httpx2.ReadTimeout),
    "stalled stream": (sse(WORDS).stalled(2, 30), httpx2.ReadTimeout),
    "cut stream": (sse(WORDS).cut_after(2), httpx2.RemoteProtocolError),
    "reset stream": (sse(WORDS).reset_after(2), httpx2.ReadError),
    "stream without its last chunk": (sse(WORDS).without_last_chunk(), httpx2.RemoteProtocolError),
    "cut body": (json_reply({"a": "long text"}).cut_after_bytes(5), httpx2.RemoteProtocolError),
    "broken gzip": (broken_gzip({"a": "b" * 200}), httpx2.DecodingError),
}


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_broken_answer_breaks_the_client(fault_server: FaultServers, case: str) -> None:
    script, error = BROKEN_OFF[case]
    server = fault_server(script)
    with pytest.raises(error):
        ask(server, timeout=0.3)


def test_slow_headers_keep_a_client_with_a_read_timeout_waiting(fault_server: FaultServers) -> None:
    server = fault_server(json_reply({}).slow_head(0.02))
    started = time.monotonic()
    assert ask(server, timeout=0.2).status_code == 200  # each byte starts the read timeout anew
    assert time.monotonic() - started > 1.0


def test_a_cut_stream_delivers_what_came_before(fault_server: FaultServers) -> None:
    data = received(fault_server(sse(WORDS).cut_after(2)))
    assert WORDS[1] in data
    assert WORDS[2] not in data
    assert not data.endswith(b"0\r\n\r\n")


def test_a_body_can_trickle_byte_by_byte(fault_server: FaultServers) -> None:
    server = fault_server(json_reply([1, 2, 3]).trickled(0.02))
    started = time.monotonic()
    assert ask(server).json() == [1, 2, 3]
    assert time.monotonic() - started > 0.15


def test_html_instead_of_json_has_status_200(fault_server: FaultServers) -> None:
    response = ask(fault_server(html()))
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_invalid_utf8_is_on_the_wire(fault_server: FaultServers) -> None:
    with pytest.raises(UnicodeDecodeError):
        ask(fault_server(invalid_utf8({"text": "hello"}))).content.decode()


def test_a_redirect_leads_to_another_port(fault_server: FaultServers) -> None:
    target = fault_server(json_reply({"here": True}))
    server = fault_server(redirect(f"{target.url}/there"))
    assert httpx2.post(server.url, json={}, follow_redirects=True).json() == {"here": True}
    assert target.requests[0].path == "/there"


def test_a_garbage_event_stands_where_it_was_put() -> None:
    assert spoiled(WORDS, at=1)[1] == b"data: {not json\n\n"


def test_a_client_that_leaves_a_stream_is_noticed_at_once(fault_server: FaultServers) -> None:
    server = fault_server(sse(WORDS).stalled(1, 30))
    with httpx2.stream("POST", server.url) as response:
        next(response.iter_raw())
        left = time.monotonic()
    assert server.wait_for(lambda s: bool(s.early_closes))
    [close] = server.early_closes
    assert close.at - left < 0.5
    assert close.pieces == 1
    assert server.wait_for(lambda s: s.open_connections == 0)


def test_a_client_that_gives_up_waiting_is_noticed(fault_server: FaultServers) -> None:
    server = fault_server(silence(30))
    with pytest.raises(httpx2.ReadTimeout):
        ask(server, timeout=0.1)
    assert server.wait_for(lambda s: len(s.early_closes) == 1)


def test_a_whole_answer_is_no_early_close(fault_server: FaultServers) -> None:
    server = fault_server(sse(WORDS))
    ask(server)
    assert server.wait_for(lambda s: s.open_connections == 0)
    assert not server.early_closes


def test_ten_megabytes_arrive_whole(fault_server: FaultServers) -> None:
    server = fault_server(json_reply({"text": "x" * 10_000_000}))
    assert len(ask(server, timeout=30).content) > 10_000_000


def test_a_hundred_thousand_chunks_arrive_whole(fault_server: FaultServers) -> None:
    server = fault_server(sse(b"data: x\n\n" for _ in range(100_000)))
    assert ask(server, timeout=30).content.count(b"data: x\n\n") == 100_000


def test_closing_the_server_ends_even_a_client_that_does_not_read(fault_server: FaultServers) -> None:
    server = fault_server(sse(b"x" * 65536 for _ in range(10_000)))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert server.wait_for(lambda s: bool(s.requests))
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1
    assert server.open_connections == 0


def test_a_certificate_of_our_own_is_not_trusted(fault_server: FaultServers, authority: Authority) -> None:
    server = fault_server(json_reply({}), tls=authority.server_context())
    with pytest.raises(httpx2.ConnectError):
        ask(server)
    assert server.wait_for(lambda s: s.failed_handshakes == 1)
    assert not server.requests


def test_a_certificate_of_our_own_is_trusted_through_its_bundle(
    fault_server: FaultServers, authority: Authority
) -> None:
    server = fault_server(sse(WORDS), tls=authority.server_context())
    context = ssl.create_default_context(cafile=authority.ca_bundle)
    assert httpx2.get(server.url, verify=context).content == b"".join(WORDS)


def test_a_client_that_leaves_a_stream_is_noticed_through_tls(fault_server: FaultServers, authority: Authority) -> None:
    server = fault_server(sse(WORDS).stalled(1, 30), tls=authority.server_context())
    context = ssl.create_default_context(cafile=authority.ca_bundle)
    with httpx2.Client(verify=context) as client, client.stream("GET", server.url) as response:
        next(response.iter_raw())
    assert server.wait_for(lambda s: len(s.early_closes) == 1)


def test_a_refused_port_refuses() -> None:
    with refused_port() as port, pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}")


def test_an_unanswered_port_lets_the_client_wait() -> None:
    with unanswered_port() as port, pytest.raises(httpx2.ConnectTimeout):
        httpx2.get(f"http://127.0.0.1:{port}", timeout=0.2)


def test_verbs_leave_the_reply_they_were_called_on_alone() -> None:
    reply: Reply = sse(WORDS)
    reply.cut_after(1).delayed(2).after(3)
    assert (reply.cut, reply.delay, reply.silent_for, reply.ending) == (None, 0.0, 0.0, "keep")


def test_the_network_is_shut() -> None:
    with pytest.raises(NetworkForbiddenError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    with pytest.raises(NetworkForbiddenError, match=r"example\.com"):
        httpx2.get("http://example.com")


def test_an_invalid_name_does_not_resolve() -> None:
    with pytest.raises(httpx2.ConnectError):
        httpx2.get("http://nowhere.invalid")
