import pytest
from django.test import AsyncClient


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["nope", "%2e%2e/.env", "x" * 300])
async def test_a_missing_file_is_not_found(settings, debug, path):
    settings.DEBUG = debug
    answer = await AsyncClient().get(f"/static/{path}")
    assert answer.status_code == 404


async def test_a_file_is_served():
    answer = await AsyncClient().get("/static/netra_site/icon.svg")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("image/svg+xml")
