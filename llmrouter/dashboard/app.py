"""The server of the page: one page, one source of data, and who may see them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route
except ImportError:
    raise ImportError("the dashboard's packages are not installed: pip install 'llmrouter[dashboard]'") from None

from llmrouter.dashboard.figures import figures
from llmrouter.errors import InvalidRequestError, LLMRouterError

if TYPE_CHECKING:
    from llmrouter.base_router import BaseRouter

COOKIE: Final = "llmrouter-dashboard"
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - what is compared with, not what is listened on
_PARTS: Final = ("uplot.min.css", "page.css", "uplot.min.js", "page.js")

Scope = dict[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]


def application(router: BaseRouter, host: str, token: str | None) -> Starlette:
    """Return the page of `router`'s ledger, for a server that listens on `host`.

    With a `token` every request has to bring it: once as `/?token=...`, which leaves a cookie, or as a bearer token.
    """
    page, policy = _page()
    routes = [
        Route("/", partial(_show, page)),
        Route("/data.json", partial(_data, router)),
    ]
    guards = [Middleware(_Headers, policy=policy), Middleware(_Hosts, host=host), Middleware(_Token, token=token)]
    return Starlette(routes=routes, middleware=guards)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, reuse_port=False)


def server(app: Starlette) -> uvicorn.Server:
    """Return a server for `app`: `run(sockets=[listen(host, port)])` serves until `should_exit`, or Ctrl-C."""
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none")
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ------------------------------------------------------------------------------------------------ what there is


def _show(page: str, request: Request) -> Response:
    if "token" in request.query_params:  # checked already: it may go from the address bar
        return RedirectResponse("/", 303)
    return HTMLResponse(page)


def _data(router: BaseRouter, request: Request) -> Response:
    asked = request.query_params
    try:
        found = figures(router, asked.get("range", "7d"), asked.get("step", "day"), asked.get("by", "route"))
    except InvalidRequestError as error:
        return JSONResponse({"error": str(error)}, 400)
    except LLMRouterError as error:
        return JSONResponse({"error": str(error)}, 503)
    return Response(json.dumps(found), media_type="application/json")


def _page() -> tuple[str, str]:
    """Return the page with its parts inside it, and the policy that lets a browser run those and nothing else."""
    folder = files("llmrouter.dashboard") / "static"
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in _PARTS}
    page = (folder / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    scripts, styles = (
        " ".join(_hash(text) for name, text in parts.items() if name.endswith(ending)) for ending in (".js", ".css")
    )
    return page, (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# ------------------------------------------------------------------------------------------------ who may see it


class _Hosts:
    """Answers to the names of this server alone: another site's name that points here is not let in (DNS rebinding)."""

    def __init__(self, app: Asgi, host: str) -> None:
        self._app, self._host = app, host
        self._names = {"localhost", host} if is_loopback(host) else {host, socket.gethostname(), "localhost"}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Let the request through, or refuse it."""
        if scope["type"] == "http" and not self._is_ours(_header(scope, b"host")):
            await PlainTextResponse("this server does not go by that name", 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, given: str) -> bool:
        try:
            name = urlsplit(f"//{given}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._host in _EVERYWHERE  # an address is nobody's name, and cannot be rebound


class _Token:
    """Lets in who brings the token."""

    def __init__(self, app: Asgi, token: str | None) -> None:
        self._app, self._token = app, token
        self._pass = "" if token is None else hashlib.sha256(b"llmrouter dashboard " + token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Let the request through, or answer 401."""
        if self._token is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        by_link = _same(request.query_params.get("token", ""), self._token)
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        known = _same(request.cookies.get(COOKIE, ""), self._pass)
        if not (by_link or known or (kind.lower() == "bearer" and _same(bearer, self._token))):
            refusal = PlainTextResponse(
                "this page wants the token: open /?token=...", 401, {"WWW-Authenticate": "Bearer"}
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, self._keeping(send) if by_link else send)

    def _keeping(self, send: Any) -> Any:
        """Have the browser remember that it brought the token: as a hash of it, for this server alone."""
        cookie = f"{COOKIE}={self._pass}; HttpOnly; SameSite=Strict; Path=/"
        return _sending(send, {"set-cookie": cookie})


class _Headers:
    """Tells browsers to run nothing but the page itself, to keep nothing, and to show it in no frame."""

    def __init__(self, app: Asgi, policy: str) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": policy,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer with the headers."""
        await self._app(scope, receive, _sending(send, self._headers))


def _sending(send: Any, headers: Mapping[str, str]) -> Any:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def sent(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *raw]}
        await send(message)

    return sent


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode(), kept.encode())
