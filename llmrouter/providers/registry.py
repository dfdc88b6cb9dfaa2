"""Providers by name: their settings from the file's entry and the environment, and the code that speaks for a kind."""

from __future__ import annotations

import importlib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import urlsplit

from llmrouter.errors import ConfigError
from llmrouter.hints import hint
from llmrouter.providers.base import Provider, ProviderSettings
from llmrouter.providers.presets import PRESETS, Preset
from llmrouter.types import EMPTY, Secret

ENTRY_POINTS: Final = "llmrouter.providers"  # a plugin registers `<kind> = <module>:<factory>` here


@dataclass(frozen=True, slots=True)
class _Kind:
    """A built-in kind: its module, its default URL ({region} is filled in), and its usual environment variables."""

    module: str
    url: str = ""
    key: tuple[str, ...] = ()
    token: tuple[str, ...] = ()
    base_url: tuple[str, ...] = ()
    organization: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    api_version: tuple[str, ...] = ()


_GOOGLE_URL: Final = "https://generativelanguage.googleapis.com"
_GOOGLE_KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "openai": _Kind(
            "llmrouter.providers.openai",
            "https://api.openai.com/v1",
            key=("OPENAI_API_KEY",),
            base_url=("OPENAI_BASE_URL",),
            organization=("OPENAI_ORG_ID",),
            project=("OPENAI_PROJECT_ID",),
        ),
        "anthropic": _Kind(
            "llmrouter.providers.anthropic",
            "https://api.anthropic.com",
            key=("ANTHROPIC_API_KEY",),
            token=("ANTHROPIC_AUTH_TOKEN",),
            base_url=("ANTHROPIC_BASE_URL",),
        ),
        "google": _Kind(
            "llmrouter.providers.google", _GOOGLE_URL, key=_GOOGLE_KEYS, base_url=("GOOGLE_GEMINI_BASE_URL",)
        ),
        "google-generativeai": _Kind("llmrouter.providers.google_generativeai", _GOOGLE_URL, key=_GOOGLE_KEYS),
        "azure": _Kind(
            "llmrouter.providers.azure",
            key=("AZURE_OPENAI_API_KEY",),
            token=("AZURE_OPENAI_AD_TOKEN",),
            base_url=("AZURE_OPENAI_ENDPOINT",),
            api_version=("OPENAI_API_VERSION",),
        ),
        "bedrock": _Kind(
            "llmrouter.providers.bedrock",
            "https://bedrock-runtime.{region}.amazonaws.com",
            key=("AWS_BEARER_TOKEN_BEDROCK",),
            region=("AWS_REGION", "AWS_DEFAULT_REGION"),
        ),
        "vertex": _Kind(
            "llmrouter.providers.vertex",
            "https://{region}-aiplatform.googleapis.com",
            project=("GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID"),
            region=("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION", "CLOUD_ML_REGION"),
        ),
        "litellm": _Kind("llmrouter.providers.litellm"),
        "python": _Kind("llmrouter.providers.python"),
    }
)


def names() -> frozenset[str]:
    """Return every kind that an entry of `providers:` may have: built in, preset, or registered by a plugin."""
    return frozenset((*_KINDS, *PRESETS, *(point.name for point in _plugins())))


def settings(name: str, entry: Mapping[str, Any] | None, environ: Mapping[str, str]) -> ProviderSettings:
    """Resolve one entry of `providers:`; `entry` None is a built-in name without one.

    What the entry leaves out comes from the kind's usual variables in `environ`. Raises ConfigError for an unknown
    kind, or where neither the entry nor its name tells one.
    """
    entry = entry or EMPTY
    kind = entry.get("kind") or name
    if kind not in _KINDS and kind not in PRESETS and kind not in names():  # plugins are looked for last: on disk
        raise _unknown(name, kind, "kind" in entry and entry["kind"] is not None)
    known = _KINDS.get(kind) or _as_kind(PRESETS.get(kind))

    def value(field: str, variables: tuple[str, ...] = ()) -> str | None:
        return entry.get(field) or _first(environ, variables)

    region = value("region", known.region)
    base_url = value("base_url", known.base_url)
    pool = entry.get("pool") or EMPTY
    return ProviderSettings(
        name=name,
        kind=kind,
        base_url=base_url,
        api_key=_secret(value("api_key", known.key), name),
        token=_secret(_first(environ, known.token), name),
        api=value("api"),
        api_version=value("api_version", known.api_version),
        organization=value("organization", known.organization),
        project=value("project", known.project),
        region=region,
        headers=dict(entry.get("headers") or EMPTY),
        max_connections=pool.get("max_connections") or 100,
        keepalive=20 if pool.get("keepalive") is None else pool["keepalive"],
        proxy=_proxy(entry.get("proxy"), base_url or known.url.format(region=region or "global"), environ),
        ca_bundle=value("ca_bundle"),
        key_variables=known.key,
    )


def address(settings: ProviderSettings) -> str | None:
    """Return the URL that requests to this provider go to; None where only its SDK knows (litellm, python, plugins)."""
    known = _KINDS.get(settings.kind) or _as_kind(PRESETS.get(settings.kind))
    url = settings.base_url or known.url.format(region=settings.region or "global")
    return url.replace("//global-", "//") or None  # Vertex AI's global endpoint has no prefix


def create(settings: ProviderSettings) -> Provider:
    """Return the provider that speaks for `settings.kind`; its module is imported now, its SDK when it connects.

    Raises ConfigError for an unknown kind, and for a plugin that cannot be loaded.
    """
    kind = settings.kind
    if kind in PRESETS:
        kind = "openai"
    if kind in _KINDS:
        return cast("Provider", importlib.import_module(_KINDS[kind].module).provider(settings))
    return _from_plugin(settings)


def _as_kind(preset: Preset | None) -> _Kind:
    if preset is None:  # a plugin's kind: it knows its own defaults
        return _Kind("")
    return _Kind("", preset.base_url, key=preset.key_variables, base_url=preset.url_variables)


def _first(environ: Mapping[str, str], variables: tuple[str, ...]) -> str | None:
    return next((environ[variable] for variable in variables if environ.get(variable)), None)


def _secret(value: Any, name: str) -> Secret | None:
    """Return a key that a header can carry: one that cannot would show in the HTTP library's own error."""
    if value is None:
        return None
    given = value.reveal() if isinstance(value, Secret) else str(value)
    key = given.strip()  # a key read from a file ends in a newline
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"provider {name!r}: its key has characters that cannot be sent; was it pasted with others?")
    if not key:
        return None
    return value if isinstance(value, Secret) and key == given else Secret(key)


def _unknown(name: str, kind: str, is_given: bool) -> ConfigError:
    advice = hint(kind, names()) or f"; known: {', '.join(sorted(names()))}"
    if is_given:
        return ConfigError(f"provider {name!r}: unknown kind {kind!r}{advice}")
    return ConfigError(f"provider {name!r} needs a kind{advice}")


# ------------------------------------------------------------------------------------------------ proxies


def _proxy(given: str | None, url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy for `url`: the entry's (an empty one: none), else the environment's, never for this machine."""
    if given is not None:
        return given or None
    parts = urlsplit(url)
    host = parts.hostname
    if host is None or _is_loopback(host):
        return None
    found = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if found is None:
        return None
    # Imported late: it loads half of the standard library's HTTP.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

    place = host if parts.port is None else f"{host}:{parts.port}"
    if proxy_bypass_environment(place, {"no": _variable(environ, "no_proxy") or ""}):
        return None
    return found if "://" in found else f"http://{found}"


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return a proxy variable; lower case wins, as everywhere."""
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return environ.get(name) or None  # under CGI, HTTP_PROXY is a header that the client sent
    return environ.get(name) or environ.get(name.upper()) or None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# ------------------------------------------------------------------------------------------------ plugins


def _plugins() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)


def _from_plugin(settings: ProviderSettings) -> Provider:
    point = next((point for point in _plugins() if point.name == settings.kind), None)
    if point is None:
        raise _unknown(settings.name, settings.kind, is_given=True)
    try:
        factory: Callable[[ProviderSettings], Provider] = point.load()
        return factory(settings)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"provider {settings.name!r}: the plugin {point.value!r} of kind {settings.kind!r} failed: {problem}"
        ) from error
