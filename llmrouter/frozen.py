"""Frozen dataclasses that are made quickly.

The `__init__` of a frozen dataclass sets each field by a call of `object.__setattr__`, which takes ten times as long as
an assignment; with a dozen records a call, that was a fifth of the router's own work. `quickly_made` fills a record
while it belongs to a twin class without that protection, and then makes it one of its own class. What is frozen stays
frozen: nobody else holds the record while it is being filled.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quickly_made(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots an `__init__` of the same signature that takes a third of the time.

    A subclass keeps the ordinary one. Raises TypeError for what it was not written for: a field that is keyword-only
    or no parameter, and a `__post_init__`.
    """
    found: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # a dataclass, or `fields` raises TypeError
    if hasattr(cls, "__post_init__") or any(field.kw_only or not field.init for field in found):
        raise TypeError(f"{cls.__name__}: every field has to be a plain parameter, and nothing may follow")
    ordinary: Any = cls.__init__
    names = {"own": cls, "twin": _unprotected(cls), "ordinary": ordinary, "set_attribute": object.__setattr__}
    names |= {f"make_{field.name}": field.default_factory for field in found}
    exec(_source(found), names)  # noqa: S102 - field names only; dataclasses makes its own `__init__` this way
    quick = names["__init__"]
    for name in ("__annotations__", "__defaults__", "__module__", "__qualname__"):
        setattr(quick, name, getattr(ordinary, name))
    defaults = zip(reversed(ordinary.__defaults__ or ()), reversed(found), strict=False)  # of the last fields
    made = (default for default, field in defaults if field.default_factory is not MISSING)
    names["made"] = next(made, None)  # what dataclasses has for the default of every field with a factory
    cls.__init__ = quick  # type: ignore[method-assign]
    return cls


def _unprotected(cls: type[Any]) -> type[Any]:
    """Return a class of the very same layout, or `__class__` could not be assigned, whose fields can be set."""
    body = {"__slots__": cls.__slots__, "__orig_bases__": getattr(cls, "__orig_bases__", cls.__bases__)}
    return type(cls.__name__, cls.__bases__, body)


def _source(found: tuple[Field[Any], ...]) -> str:
    """Return the text of the `__init__`; its defaults are added afterwards."""
    given = ", ".join(["self", *(field.name for field in found)])
    return "\n".join(
        [
            f"def __init__({given}):",
            " if self.__class__ is not own:",
            f"  return ordinary({given})",
            " set_attribute(self, '__class__', twin)",
            *(f" self.{field.name} = {_value(field)}" for field in found),
            " self.__class__ = own",
        ]
    )


def _value(field: Field[Any]) -> str:
    name = field.name
    return name if field.default_factory is MISSING else f"make_{name}() if {name} is made else {name}"
