"""Which objects may be shared between users: what cannot change, and what was declared to be shared."""

import asyncio
import contextvars
import functools
import logging
import re
import threading
import types
import weakref
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field
from django.db.models.expressions import BaseExpression
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.db.models.manager import BaseManager
from django.db.models.options import Options
from pydantic import BaseModel

from contexts.context import UserExecutionContext


class Sharing(Enum):
    """How an object of a type is dealt with."""

    VALUE = "value"
    """May be shared, and holds nothing of interest."""
    LOOK_THROUGH = "look_through"
    """May be shared, but what it holds is looked at."""
    OWNED = "owned"
    """Can change: it and what it holds belong to one user."""
    CONTEXT = "context"
    """An execution context, which says itself whose it is."""


VALUE, LOOK_THROUGH, OWNED, CONTEXT = Sharing

DATA: frozenset[type] = frozenset(
    (
        *(str, bytes, int, float, complex, bool, type(None), range),
        *(UUID, datetime, date, time, timedelta, Decimal, Fraction),
    )
)
"""Exact types of plain values, the quick way through every check."""

_VALUES: tuple[type, ...] = (
    *DATA,
    *(PurePath, re.Pattern, types.ModuleType, types.CodeType),
    *(type(Ellipsis), type(NotImplemented), types.GenericAlias, types.UnionType),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType),
    # They lead to a whole thread's or module's variables.
    *(types.FrameType, types.TracebackType),
    *(weakref.ReferenceType, weakref.ProxyType, weakref.CallableProxyType),
    *(contextvars.ContextVar, contextvars.Token),
    # Nothing but the permission to go on passes through these.
    *(type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event),
    *(threading.Semaphore, asyncio.Lock, asyncio.Condition, asyncio.Event, asyncio.Semaphore),
)
CACHED_FUNCTION = type(functools.cache(len))
_SEEN_THROUGH = (
    *(tuple, frozenset, types.MappingProxyType, slice, types.FunctionType, types.MethodType),
    *(types.BuiltinFunctionType, types.MethodWrapperType, functools.partial),
    *(CACHED_FUNCTION, property, staticmethod, classmethod),
)
# Their objects describe classes and functions, or stand for what is missing.
_DESCRIBING_MODULES = frozenset(
    "dataclasses inspect pydantic.fields pydantic_core pydantic_core._pydantic_core typing".split()
)
_CONTAINERS = (list, dict, set, bytearray)

_known: WeakKeyDictionary[type, Sharing] = WeakKeyDictionary()
_frequent: dict[type, Sharing] = dict.fromkeys(DATA, VALUE) | dict.fromkeys((list, dict, set), OWNED)
_shared_types: tuple[type, ...] = (
    *(type, Enum, tzinfo, logging.Logger, logging.Handler),
    *(asyncio.AbstractEventLoop, contextvars.Context, threading.Thread),
    # Django keeps these once for each model or thread; it copies an expression before it changes it.
    *(Field, ForeignObjectRel, Options, BaseManager, BaseExpression, BaseDatabaseWrapper),
)
_shared_objects: dict[int, Any] = {}


def declare_shared(thing: Any) -> None:
    """Let an object, or every object of a type and its subclasses, be reached from many users' contexts.

    What it holds is not looked at. An object so declared is kept for as long as the process lives.

    Raises:
        TypeError: for the type of plain containers, which would let everything through.
    """
    global _shared_types
    if not isinstance(thing, type):
        _shared_objects[id(thing)] = thing
        return
    if thing in (*_CONTAINERS, object):
        raise TypeError(f"Objects of the type {thing.__name__} are never shared as a whole.")
    _shared_types = (*_shared_types, thing)
    _known.clear()


def sharing_of(thing: Any) -> Sharing:
    """Return how `thing` is dealt with."""
    kind = type(thing)
    sharing = _frequent.get(kind) or _known.get(kind)
    if sharing is None:
        sharing = _known[kind] = _sharing_of_type(kind)
    if sharing is OWNED and id(thing) in _shared_objects:
        return VALUE
    return sharing


def _sharing_of_type(kind: type) -> Sharing:
    if issubclass(kind, UserExecutionContext):
        return CONTEXT
    if issubclass(kind, _shared_types) or kind.__module__ in _DESCRIBING_MODULES or kind is object:
        return VALUE
    if issubclass(kind, _VALUES):
        # An instance of a subclass may carry attributes that change.
        return VALUE if kind in _VALUES or not _has_attributes(kind) else OWNED
    if issubclass(kind, _SEEN_THROUGH):
        is_exact = kind in _SEEN_THROUGH
        return LOOK_THROUGH if is_exact or not _has_attributes(kind) else OWNED
    return LOOK_THROUGH if _is_frozen(kind) else OWNED


def _has_attributes(kind: type) -> bool:
    return bool(kind.__dictoffset__)


def _is_frozen(kind: type) -> bool:
    if issubclass(kind, BaseModel):
        return bool(kind.model_config.get("frozen")) and not kind.__private_attributes__
    # A plain subclass of a frozen dataclass takes further attributes.
    parameters = kind.__dict__.get("__dataclass_params__")
    return bool(parameters and parameters.frozen) and not issubclass(kind, _CONTAINERS)


def frozen_values(thing: Any) -> list[Any]:
    """Return what the fields of a frozen dataclass or pydantic model hold."""
    if isinstance(thing, BaseModel):
        return [*thing.__dict__.values(), *(thing.__pydantic_extra__ or {}).values()]
    assert is_dataclass(thing)
    attributes = getattr(thing, "__dict__", {})
    slots = (field.name for field in fields(thing) if field.name not in attributes)
    return [*attributes.values(), *(getattr(thing, name) for name in slots if hasattr(thing, name))]
