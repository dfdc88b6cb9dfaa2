"""Rungs become the chain of a route, written as a person would write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

STICKY: Final = "A conversation stays on one target, so that the provider's prompt cache works."


def distinct(rungs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop rungs that would ask the same target in the same way again; their weights are added up."""
    kept: list[dict[str, Any]] = []
    for rung in rungs:
        twin = next((each for each in kept if _facts(each) == _facts(rung)), None)
        if twin is None:
            kept.append(rung)
        elif "weight" in twin and "weight" in rung:
            twin["weight"] += rung["weight"]
    return kept


def as_route(chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return `model` and `fallbacks` of a route; what a lone rung says stands on the route itself."""
    first, *others = chain
    if not others:
        return {key: value for key, value in first.items() if key != "weight"} if "api" not in first else _alone(first)
    return {"model": _short(first), "fallbacks": [_short(rung) for rung in others]}


def _alone(rung: Mapping[str, Any]) -> dict[str, Any]:
    """Keep `api`, which only a rung can say, with its target."""
    inner = {key: rung[key] for key in ("model", "api")}
    return {"model": inner} | {key: value for key, value in rung.items() if key not in {*inner, "weight"}}


def _facts(rung: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rung.items() if key != "weight"}


def _short(rung: Mapping[str, Any]) -> Any:
    return rung["model"] if rung.keys() == {"model"} else dict(rung)
