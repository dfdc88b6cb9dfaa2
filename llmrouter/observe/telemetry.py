"""The observers of one router: the log, what `telemetry:` of the file asks for, and what the program has added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from llmrouter.errors import ConfigError

if TYPE_CHECKING:
    from llmrouter.config.sections import PrometheusConfig, TelemetryConfig
    from llmrouter.observe.prometheus import MetricsServer, PrometheusObserver
    from llmrouter.observe.standing import Watched
    from llmrouter.pipeline.observer import Ended, Observer


class Guarded:
    """An observer from outside: when it raises, that costs one warning, and never a call."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._warned = False

    def ended(self, end: Ended) -> None:
        """See Observer."""
        try:
            self.observer.ended(end)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the call has its answer
            if not self._warned:
                self._warned = True
                kind = type(self.observer).__name__
                logger.warning("the observer {} raised {}; calls go on without it", kind, type(error).__name__)


_quiet = False


def keep_ports_closed() -> None:
    """Serve no metrics from this program: a command would take the port of the service beside it."""
    global _quiet  # noqa: PLW0603 - a fact about the process
    _quiet = True


class Telemetry:
    """What the file's `telemetry:` has switched on. `port` is where metrics are served, None: nowhere."""

    def __init__(self, router: Watched) -> None:
        self._router = router
        self._otel: Guarded | None = None
        self._prometheus: PrometheusObserver | None = None
        self._section: PrometheusConfig | None = None
        self._server: MetricsServer | None = None

    @property
    def port(self) -> int | None:
        """The port that metrics are served on; None when they are not."""
        return None if self._server is None else self._server.port

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those that are on."""
        counted = () if self._prometheus is None else (Guarded(self._prometheus),)
        return (*counted, *(() if self._otel is None else (self._otel,)))

    def use(self, section: TelemetryConfig | None) -> None:
        """Switch on and off what the file says from now on. Raises ConfigError when a package is not installed."""
        try:
            self._use_otel(wanted=section is not None and section.otel)
            self._use_prometheus(None if section is None else section.prometheus)
        except ImportError as error:
            raise ConfigError(f"telemetry: {error}") from None

    def close(self) -> None:
        """Stop serving metrics."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _use_otel(self, *, wanted: bool) -> None:
        if not wanted:
            self._otel = None
        elif self._otel is None:
            from llmrouter.observe.otel import OtelObserver

            self._otel = Guarded(OtelObserver())

    def _use_prometheus(self, section: PrometheusConfig | None) -> None:
        if section == self._section:
            return
        self.close()
        self._prometheus, self._section = None, None
        if section is None or _quiet:
            return
        from llmrouter.observe.prometheus import serving

        self._section = section
        self._prometheus, serve = serving(section.host, section.port)
        self._prometheus.attach(self._router)
        try:
            self._server = serve()
        except OSError as error:
            where = f"{section.host}:{section.port}"
            logger.warning("metrics are not served: {} cannot be listened on ({})", where, error.strerror or error)
