"""The chat page's shell."""

from datetime import UTC, datetime

import pytest
from django.template.loader import render_to_string
from django.test import Client

from agents.analysis.prices import find_prices
from realtime.views import SUGGESTED_MODELS
from tests.factories import make_tenant, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", SUGGESTED_MODELS)
def test_every_suggested_model_has_a_list_price(name: str) -> None:
    assert find_prices(name, priced_at=datetime.now(UTC)).standard


def test_a_stranger_is_sent_to_sign_in(client: Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/accounts/login/?next=/"


def test_the_page_is_not_kept_by_caches_and_takes_no_posts(client: Client) -> None:
    client.force_login(make_user("alice", tenant=make_tenant("acme", "free")))
    answer = client.get("/")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert "csrftoken" in answer.cookies
    assert b"alice" in answer.content
    assert client.post("/").status_code == 405


def test_names_of_users_stay_text(client: Client) -> None:
    client.force_login(make_user("<b>eve</b>", tenant=make_tenant("acme", "free")))
    page = client.get("/").content
    assert b"&lt;b&gt;eve&lt;/b&gt;" in page
    assert b"<b>eve" not in page


def test_an_account_without_organisation_is_told_so_and_offered_nothing_to_type(client: Client) -> None:
    client.force_login(make_user("dora"))
    page = client.get("/").content.decode()
    assert "belongs to no active organisation" in page
    assert "Ask your administrator" in page
    assert "<textarea" not in page
    assert "data-question" not in page
    assert "/admin/" not in page


def test_staff_without_organisation_are_shown_the_way_to_the_administration(client: Client) -> None:
    client.force_login(make_user("operator", is_staff=True))
    page = client.get("/").content.decode()
    assert "belongs to no active organisation" in page
    assert 'href="/admin/"' in page


def test_a_closed_organisation_counts_as_none(client: Client) -> None:
    client.force_login(make_user("erin", tenant=make_tenant("gone", "free", is_active=False)))
    assert "belongs to no active organisation" in client.get("/").content.decode()


@pytest.mark.parametrize("template", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_name_the_icon(template: str) -> None:
    assert '<link rel="icon" href="/static/netra_site/icon' in render_to_string(template)
