import re
import warnings
from typing import Any

from django.contrib.staticfiles import finders
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

PROMISED = {
    "auth/token": "post",
    "auth/token/refresh": "post",
    "auth/logout": "post",
    "auth/ticket": "post",
    "me": "get",
    "me/preferences": "get patch",
    "quotas": "get",
    "threads": "get post",
    "threads/{thread_id}": "get patch delete",
    "threads/{thread_id}/messages": "get",
    "threads/{thread_id}/runs": "post",
    "runs/{run_id}": "get",
    "runs/{run_id}/cancel": "post",
    "runs/{run_id}/events": "get",
    "runs/{run_id}/calls/{call_id}": "get",
    "runs/{run_id}/audit": "get",
    "datasets": "get post",
    "datasets/{dataset_id}": "get delete",
    "audit": "get",
    "charts/{chart_id}.svg": "get",
}


def test_the_description_has_every_promised_address_and_no_gap() -> None:
    GENERATOR_STATS.reset()
    with warnings.catch_warnings():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    described = {
        address.removeprefix("/api/v1/"): set(operations) for address, operations in schema["paths"].items()
    }
    assert described == {address: set(methods.split()) for address, methods in PROMISED.items()}
    assert not GENERATOR_STATS


def test_anyone_may_read_the_description(client: Any) -> None:
    response = client.get("/api/schema/")
    assert response.status_code == 200
    assert b"openapi: 3" in response.content


def test_the_documentation_page_needs_no_other_host(client: Any) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert addresses
    for address in addresses:
        assert not address.startswith(("http", "//")), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address
