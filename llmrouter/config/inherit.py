"""What a route inherits from `defaults`, and a rung from its route: maps merge key by key, all else replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from llmrouter.config.models import RouteConfig, RoutesConfig, RungConfig

ModelT = TypeVar("ModelT", bound=BaseModel)


def resolved(config: RoutesConfig, route: str) -> RouteConfig:
    """Return the route with everything it inherits. Raises KeyError when the file has no such route."""
    return _merged(config.routes[route], config.defaults)


def ad_hoc(config: RoutesConfig, target: str) -> RouteConfig:
    """Return the route that a target string stands for: that target alone, with the defaults."""
    return _merged(RouteConfig.model_validate({"model": target}), config.defaults)


def chain(route: RouteConfig) -> tuple[RungConfig, ...]:
    """Return the rungs of a resolved route in order, each with the route's params, timeouts and retry merged in."""
    inherited = {"params": route.params, "timeouts": route.timeouts, "retry": route.retry}
    base = RungConfig.model_construct(_fields_set=set(inherited), **inherited)
    return tuple(_merged(rung, base) for rung in (route.model, *route.fallbacks))


def _merged(over: ModelT, base: BaseModel) -> ModelT:
    """Return `over` with what only `base` sets; where both set a map, its keys are merged in turn."""
    inherited = {name: _value(over, base, name) for name in base.model_fields_set}
    return over.model_copy(update=inherited)


def _value(over: BaseModel, base: BaseModel, name: str) -> Any:
    below = getattr(base, name)
    if name not in over.model_fields_set:
        return below
    above = getattr(over, name)
    if isinstance(above, BaseModel) and isinstance(below, BaseModel):
        return _merged(above, below)
    return _merged_maps(above, below) if isinstance(above, Mapping) and isinstance(below, Mapping) else above


def _merged_maps(above: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged_maps(above[key], below[key])
        for key in above.keys() & below.keys()
        if isinstance(above[key], Mapping) and isinstance(below[key], Mapping)
    }
    return {**below, **above, **both}
