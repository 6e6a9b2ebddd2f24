import pytest

from agents.models import Chart
from contexts.models import User
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_run, make_thread

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>Spend · é</title></svg>'


def _address(user: User) -> str:
    run = make_run(make_thread(user))
    chart = Chart.objects.create(
        tenant_id=run.tenant_id, user=user, run=run, title="Spend", alt_text="Spend by day", svg=SVG
    )
    return f"/api/v1/charts/{chart.id}.svg"


@pytest.mark.parametrize("accept", ["image/svg+xml", "image/avif,image/webp,*/*;q=0.8", "image/*", None])
def test_a_chart_is_drawn_and_can_do_nothing(cast: Cast, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else {}
    response = client_of(cast.alice).get(_address(cast.alice), headers=headers)
    assert response.status_code == 200
    assert response.content.decode() == SVG
    assert response["Content-Type"].startswith("image/svg+xml")
    assert response["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "private" in response["Cache-Control"]


def test_a_chart_is_sent_once_but_asked_for_each_time(cast: Cast) -> None:
    address = _address(cast.alice)
    client = client_of(cast.alice)
    tag = client.get(address)["ETag"]
    again = client.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert_problem(client_of(cast.bob).get(address, headers={"If-None-Match": tag}), 404, "not_found")


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_someone_elses_chart_does_not_exist(cast: Cast, who: str) -> None:
    assert_problem(client_of(getattr(cast, who)).get(_address(cast.alice)), 404, "not_found")
