"""Where code that ran away may be ended by an exception from outside: never while it holds what others need.

An exception that is raised between any two bytecodes may keep a lock from being given back, or leave shared
bookkeeping half done. So code is ended only while it is in no function of the modules named here. A lock that
was taken by `with` is given back in any case.
"""

import inspect
from collections.abc import Container
from types import FrameType

SHARED = frozenset(
    """
    asgiref asyncio concurrent contexts django importlib _frozen_importlib _frozen_importlib_external logging
    multiprocessing procrastinate prometheus_client psycopg psycopg_pool queue subprocess threading
    """.split()
)
"""Packages and modules whose state belongs to the whole process."""
SHARED_MODULES = frozenset(
    """
    agents.datasets.process_maker agents.datasets.query_process agents.event_log agents.event_writer
    agents.tools.sessions
    """.split()
)
_ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def may_be_ended(frame: FrameType | None, *, began_by: Container[object]) -> bool:
    """Tell whether the code at `frame` may be ended, up to the frame or code that it was `began_by`.

    Coroutines of those modules do not count: they hold nothing but what they give back, and may be waiting
    for the very code that ran away.
    """
    while frame is not None and frame not in began_by and frame.f_code not in began_by:
        name = frame.f_globals.get("__name__", "")
        is_shared = name.partition(".")[0] in SHARED or name in SHARED_MODULES
        if is_shared and not frame.f_code.co_flags & _ASYNCHRONOUS:
            return False
        frame = frame.f_back
    return True
