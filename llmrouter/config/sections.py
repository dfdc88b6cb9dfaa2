"""What every section of routes.yaml is made of, and the sections that few files have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from llmrouter.config.fields import Switch, Whole


class Section(BaseModel):
    """A map of the file: unknown keys are mistakes, nothing changes after loading, no error shows a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_not_written(cls, data: Any) -> Any:
        if data is None:
            return {}
        if isinstance(data, Mapping) and None in data.values():
            known = {field.alias or name for name, field in cls.model_fields.items()}
            return {key: value for key, value in data.items() if value is not None or key not in known}
        return data


def _port(value: int) -> int:
    if not 0 <= value <= 65_535:
        raise ValueError("write a port from 0 to 65535")
    return value


Port: TypeAlias = Annotated[Whole, AfterValidator(_port)]


class PrometheusConfig(Section):
    """Where Prometheus fetches the numbers: `/metrics` on this port, as long as the router is open."""

    port: Port = Field(default=9464, description="The port to listen on. Default 9464; 0 takes a free one.")
    host: str = Field(
        default="127.0.0.1", description="The address to listen on. Default 127.0.0.1: this machine alone."
    )


def _on_is_default(value: Any) -> Any:
    return {} if value is True else None if value is False else value


class TelemetryConfig(Section):
    """Spans and metrics for other systems. They never hold a prompt or an answer."""

    otel: Switch = Field(
        default=False, description="Send spans and metrics to OpenTelemetry, as the program has set it up."
    )
    prometheus: Annotated[
        PrometheusConfig | None, BeforeValidator(_on_is_default, json_schema_input_type=PrometheusConfig | bool)
    ] = Field(default=None, description="Serve metrics to Prometheus: a map, or true for the usual port.")
