"""From which web pages a socket may be opened with the session cookie."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.http.request import split_domain_port, validate_host

_DEFAULT_PORTS = {"http": "80", "https": "443"}


def is_allowed_origin(scope: Mapping[str, Any]) -> bool:
    """Tell whether a handshake comes from this server's own pages or a trusted origin.

    Browsers name the origin in every handshake, so none is not allowed. The same host counts only
    when it is one of `ALLOWED_HOSTS` (else a rebound name would do); other origins must be in
    `CSRF_TRUSTED_ORIGINS`, as for a POST.
    """
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", [])}
    try:
        origin = urlsplit(headers.get(b"origin", ""))
        return _is_same_host(origin, headers.get(b"host", "")) or _is_trusted(headers.get(b"origin", ""))
    except ValueError:
        return False


def _is_same_host(origin: Any, host_header: str) -> bool:
    if origin.scheme not in _DEFAULT_PORTS or (settings.SESSION_COOKIE_SECURE and origin.scheme != "https"):
        return False
    host, port = split_domain_port(host_header)
    if not host or not validate_host(host, settings.ALLOWED_HOSTS):
        return False
    origin_host, origin_port = split_domain_port(origin.netloc)
    default = _DEFAULT_PORTS[origin.scheme]
    return (origin_host, origin_port or default) == (host, port or default)


def _is_trusted(origin: str) -> bool:
    patterns = [pattern.replace("://*.", "://.") for pattern in settings.CSRF_TRUSTED_ORIGINS]
    return bool(OriginValidator(None, patterns).valid_origin(urlsplit(origin)))
