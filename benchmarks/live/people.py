"""The process that fills the benchmark's database: users with tokens and sessions, threads and runs."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django

from benchmarks.live.commands import Handler, serve_commands

USERS_A_TENANT = 10
ANY_NUMBER = 1_000_000

_users: list[Any] = []
_tenant_ids: dict[UUID, UUID] = {}
_tokens: dict[UUID, str] = {}


def add_users(count: int) -> int:
    """See to it that there are `count` users, ten a tenant, who may open any number of sockets."""
    from contexts.identifiers import new_id
    from contexts.models import Membership, Tenant, Tier, TierLimit, User
    from contexts.scope import system_scope

    missing = [User(id=new_id(), password="!") for _ in range(count - len(_users))]
    for user in missing:
        user.username = str(user.id)
    with system_scope("benchmark"):
        tier = Tier.objects.get(slug="enterprise")
        TierLimit.objects.filter(tier=tier, resource="websocket_connections").update(limit=ANY_NUMBER)
        User.objects.bulk_create(missing)
        for start in range(0, len(missing), USERS_A_TENANT):
            users = missing[start : start + USERS_A_TENANT]
            tenant = Tenant.objects.create(name="Benchmark", slug=str(new_id()), tier=tier)
            Membership.objects.bulk_create(Membership(user=user, tenant=tenant) for user in users)
            _tenant_ids.update((user.id, tenant.id) for user in users)
    _users.extend(missing)
    return len(_users)


def ids(first: int, count: int) -> list[dict[str, str]]:
    """Return ids of users."""
    return [{"user_id": str(user.id)} for user in _users[first : first + count]]


def tokens(first: int, count: int) -> list[dict[str, str]]:
    """Return ids and access tokens of users."""
    from contexts.tokens import issue_tokens

    users = _users[first : first + count]
    for user in users:
        if user.id not in _tokens:
            _tokens[user.id] = issue_tokens(user).access
    return [{"user_id": str(user.id), "token": _tokens[user.id]} for user in users]


def sessions(first: int, count: int) -> list[dict[str, str]]:
    """Return ids and session keys of users who have signed in on a page."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    found = []
    for user in _users[first : first + count]:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        found.append({"user_id": str(user.id), "session": str(session.session_key)})
    return found


def new_runs(first: int, count: int) -> list[dict[str, str]]:
    """Return for each user a thread with a run on it that a worker has just begun."""
    from agents.models import Run, Thread
    from contexts.identifiers import new_id
    from contexts.scope import system_scope

    users = _users[first : first + count]
    threads = [Thread(id=new_id(), user=user, tenant_id=_tenant_ids[user.id]) for user in users]
    runs = [
        Run(
            id=new_id(),
            thread=thread,
            user_id=thread.user_id,
            tenant_id=thread.tenant_id,
            text="Where does our AI spend go?",
            status="running",
            attempt=1,
        )
        for thread in threads
    ]
    with system_scope("benchmark"):
        Thread.objects.bulk_create(threads)
        Run.objects.bulk_create(runs)
    return [
        {
            "user_id": str(run.user_id),
            "tenant_id": str(run.tenant_id),
            "thread_id": str(run.thread_id),
            "run_id": str(run.id),
            "last_seq": "0",
        }
        for run in runs
    ]


def _in_thread(function: Callable[..., Any]) -> Handler:
    async def call(**arguments: Any) -> Any:
        return await asyncio.to_thread(function, **arguments)

    return call


async def _serve() -> None:
    functions = (add_users, ids, tokens, sessions, new_runs)
    serve_commands(
        {function.__name__: _in_thread(function) for function in functions}, asyncio.get_running_loop()
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    django.setup()
    asyncio.run(_serve())
