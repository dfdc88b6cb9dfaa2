"""Google's default credentials, fetched over our own HTTP client.

Left to themselves both SDKs ask the token server through `requests`, two minutes long if it does not answer and past
the provider's proxy and ca_bundle; here the call's deadline bounds that too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import google.auth
import httpx2
from google.auth import transport
from google.auth.credentials import Credentials
from google.auth.exceptions import TransportError

from llmrouter.providers.base import ProviderSettings
from llmrouter.providers.http import sync_client

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_MOST_S = 30.0  # for one request to the token server where no deadline is nearer


class DefaultCredentials(Credentials):
    """What `google.auth.default` finds, looked for with the first token that is needed."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._settings = settings
        self._found: Any = None

    def refresh(self, request: object) -> None:  # noqa: ARG002 - the SDK's own transport is what we avoid
        """Fetch a token. Raises google.auth.exceptions.GoogleAuthError."""
        with sync_client(self._settings) as http:
            ours = _Request(http)
            if self._found is None:
                self._found, _ = google.auth.default(scopes=_SCOPES, request=ours)
            self._found.refresh(ours)
        self.token, self.expiry = self._found.token, self._found.expiry
        # Where the base class keeps it, which has no way to set it; a test that it is told fails if this moves.
        self._quota_project_id = getattr(self._found, "quota_project_id", None)


class _Response(transport.Response):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.content


class _Request(transport.Request):
    """google-auth's way to ask for something over HTTP."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: Any,
    ) -> _Response:
        limit = _MOST_S if timeout is None else timeout
        try:
            return _Response(self._http.request(method, url, content=body, headers=headers, timeout=limit))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TransportError(str(error) or type(error).__name__) from error  # type: ignore[no-untyped-call]
