"""The content security policy: what a page may load, and from where."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

_STRICT = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
}
# The admin's Alpine evaluates expressions of its own templates; Swagger's page brings a style sheet inline.
_LOOSER = {
    "/admin/": {
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
    },
    "/api/docs/": {"style-src": "'self' 'unsafe-inline'"},
}

_SyncResponder = Callable[[HttpRequest], HttpResponseBase]
_AsyncResponder = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def policy_for(path: str) -> str:
    """Return the `Content-Security-Policy` for the page at `path` (W3C CSP Level 3).

    Everything comes from this host, and nothing inline runs, except below `/admin/` and `/api/docs/`,
    whose packaged pages bring inline code of their own.
    """
    directives = dict(_STRICT)
    for prefix, changes in _LOOSER.items():
        if path.startswith(prefix):
            directives |= changes
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


@sync_and_async_middleware
def content_security_policy(
    get_response: _SyncResponder | _AsyncResponder,
) -> _SyncResponder | _AsyncResponder:
    """Add the policy to each response that does not bring its own."""
    if iscoroutinefunction(get_response):
        respond_later = cast(_AsyncResponder, get_response)

        async def add_policy_async(request: HttpRequest) -> HttpResponseBase:
            response = await respond_later(request)
            response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
            return response

        return add_policy_async
    respond = cast(_SyncResponder, get_response)

    def add_policy(request: HttpRequest) -> HttpResponseBase:
        response = respond(request)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        return response

    return add_policy
