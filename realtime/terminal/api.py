"""What the terminal asks of a server over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from contexts.exceptions import (
    InvalidRequestError,
    NetraError,
    NotAuthenticatedError,
    PermissionDeniedError,
    UnavailableError,
)

PROBE_TIMEOUT_S = 3.0
REQUEST_TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 600.0

_ERRORS: dict[int, type[NetraError]] = {401: NotAuthenticatedError, 403: PermissionDeniedError}


def check_address(url: str) -> str:
    """Return a server's address without a trailing slash.

    Raises:
        InvalidRequestError: when it is no `http://` or `https://` address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequestError(f"{url!r} is no address of a server, such as http://127.0.0.1:8000.")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Tell whether an address is this machine's own, so that no proxy may be asked for it."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class ServerApi:
    """A server's REST interface, as one user."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        """Talk to the server at `url` through `client`."""
        self.url = url
        self._client = client

    async def is_netra(self) -> bool:
        """Tell whether a Netra server answers here."""
        try:
            answer = await self._client.get(f"{self.url}/healthz", timeout=PROBE_TIMEOUT_S)
            return answer.status_code == httpx.codes.OK and answer.json()["service"] == "netra"
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return False

    async def is_ready(self) -> bool:
        """Tell whether a Netra server answers here and has a live worker."""
        if not await self.is_netra():
            return False
        try:
            answer = await self._client.get(f"{self.url}/readyz", timeout=2 * PROBE_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    async def accepts(self, token: str) -> bool:
        """Tell whether the server takes an access token for one of its own."""
        try:
            answer = await self._client.get(
                f"{self.url}/api/v1/me", headers=_bearer(token), timeout=PROBE_TIMEOUT_S
            )
        except httpx.HTTPError:
            return False
        # Forbidden is an answer to somebody it knows: the account's own trouble is told when it asks.
        return answer.status_code in {httpx.codes.OK, httpx.codes.FORBIDDEN}

    async def read_run(self, run_id: UUID, token: str) -> dict[str, Any]:
        """Return where a run stands; raises what `_send` raises."""
        run: dict[str, Any] = await self._send(f"runs/{run_id}", method="GET", headers=_bearer(token))
        return run

    async def sign_in(self, username: str, password: str) -> str:
        """Return an access token for a password; raises what `_send` raises."""
        answer = await self._send("auth/token", json={"username": username, "password": password})
        return str(answer["access"])

    async def upload_dataset(self, file: Path, *, assume_model: str | None, token: str) -> UUID:
        """Upload a file as a dataset and return its id; raises what `_send` raises.

        Raises:
            InvalidRequestError: when the file cannot be read, or the server refuses it.
        """
        data = {"name": file.name, **({"assume_model": assume_model} if assume_model else {})}
        try:
            with file.open("rb") as content:
                answer = await self._send(
                    "datasets",
                    data=data,
                    files={"file": (file.name, content)},
                    headers=_bearer(token),
                    timeout=UPLOAD_TIMEOUT_S,
                )
        except OSError as error:
            raise InvalidRequestError(f"{file} cannot be read: {error.strerror}.") from error
        return UUID(answer["id"])

    async def _send(self, path: str, *, method: str = "POST", **request: Any) -> Any:
        """Send a request and return the answer's JSON.

        Raises:
            UnavailableError: when the server does not answer, or not as Netra does.
            NetraError: with the problem's own words when the server refuses.
        """
        request.setdefault("timeout", REQUEST_TIMEOUT_S)
        try:
            answer = await self._client.request(method, f"{self.url}/api/v1/{path}", **request)
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self.url} does not answer: {error or type(error).__name__}.") from error
        try:
            body = answer.json()
        except ValueError as error:
            raise UnavailableError(f"{self.url} answered {answer.status_code}, not as Netra does.") from error
        if answer.is_success:
            return body
        kind = _ERRORS.get(
            answer.status_code, InvalidRequestError if answer.is_client_error else UnavailableError
        )
        detail = body.get("detail") if isinstance(body, dict) else None
        raise kind(str(detail or f"{self.url} answered {answer.status_code}."))


@asynccontextmanager
async def server_api(url: str) -> AsyncIterator[ServerApi]:
    """Yield the interface of the server at `url`."""
    async with httpx.AsyncClient(trust_env=not is_loopback(url)) as client:
        yield ServerApi(url, client)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
