"""The content security policy and the pages it guards."""

import pytest
from django.test import AsyncClient, Client

from netra_site.security import policy_for


def test_pages_allow_nothing_inline_and_no_other_host() -> None:
    policy = policy_for("/")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/administration", "/api/v1/threads", "/x/admin/", "/accounts/login/"])
def test_only_the_admin_and_the_api_pages_may_run_inline_code(path: str) -> None:
    assert policy_for(path) == policy_for("/")
    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval'" in policy_for("/admin/")
    assert "unsafe-eval" not in policy_for("/api/docs/")


def test_every_answer_bears_the_policy(client: Client) -> None:
    assert client.get("/accounts/login/").headers["Content-Security-Policy"] == policy_for("/")


async def test_every_answer_bears_the_policy_under_asgi(async_client: AsyncClient) -> None:
    answer = await async_client.get("/no-such-page")
    assert answer.status_code == 404
    assert answer.headers["Content-Security-Policy"] == policy_for("/")


@pytest.mark.parametrize("path", ["/accounts/login/", "/no-such-page"])
def test_pages_have_no_inline_script_or_style(client: Client, path: str) -> None:
    page = client.get(path).content.decode()
    assert "Netra" in page
    assert " style=" not in page
    assert "<style" not in page
    assert "onclick=" not in page
    assert all(" src=" in tag.split(">")[0] for tag in page.split("<script")[1:])


@pytest.mark.parametrize("is_development", [True, False])
def test_demo_accounts_are_named_in_development_only(
    client: Client, settings: object, is_development: bool
) -> None:
    settings.DEBUG = is_development  # type: ignore[attr-defined]
    assert (b"netra-demo" in client.get("/accounts/login/").content) is is_development
