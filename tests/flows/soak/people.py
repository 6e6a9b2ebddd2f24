"""Who asks in a soak. Run as a program it makes them in the database at hand, and prints them as JSON."""

import json
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from tests.flows.soak.processes import Cluster

TENANT_SIZE = 2
"""Users of one tenant: each has somebody near whom they must not hear."""


@dataclass(kw_only=True)
class Person:
    """A user with threads of their own, whose questions all carry a word that is only theirs."""

    user_id: str
    tenant_id: str
    token: str
    canary: str
    threads: list[str]
    runs: dict[str, str] = field(default_factory=dict)
    """Thread of each run that was asked for."""


def make_people(cluster: Cluster, *, users: int, threads: int) -> list[Person]:
    """Make users, each with as many threads, in the cluster's database."""
    printed = cluster.run_module("tests.flows.soak.people", str(users), str(threads))
    return [Person(**fields) for fields in json.loads(printed)]


def _make(users: int, threads: int) -> list[dict[str, object]]:
    # The module is also imported where Django is not set up.
    from rest_framework_simplejwt.tokens import AccessToken

    from contexts.scope import system_scope
    from tests.factories import make_tenant, make_thread, make_user

    people = []
    with system_scope("make the people of a soak", always_audited=False):
        for number in range(users):
            if number % TENANT_SIZE == 0:
                tenant = make_tenant(f"tenant-{uuid4().hex}", "enterprise")
            user = make_user(f"user-{uuid4().hex}", tenant, password=None)
            token = AccessToken.for_user(user)
            token.set_exp(lifetime=timedelta(hours=1))
            people.append(
                {
                    "user_id": str(user.id),
                    "tenant_id": str(tenant.id),
                    "token": str(token),
                    "canary": f"canary{uuid4().hex}",
                    "threads": [str(make_thread(user, tenant).id) for _ in range(threads)],
                }
            )
    return people


def main() -> None:
    """Make as many users, with as many threads each, as the command line says."""
    import django

    django.setup()
    sys.stdout.write(json.dumps(_make(int(sys.argv[1]), int(sys.argv[2]))))


if __name__ == "__main__":
    main()
