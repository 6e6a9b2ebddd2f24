from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from agents.api.upload_handler import BoundedUploadHandler
from agents.models import Dataset
from contexts.exceptions import PayloadTooLargeError, UnavailableError
from contexts.models import QuotaUsage, Role
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_dataset, make_user

DATASETS = "/api/v1/datasets"
TRACE = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
    b"2023-11-16 18:15:46.6805900,374,44\n"
    b"2023-11-16 18:15:50.9951690,396,109\n"
)


@pytest.fixture(autouse=True)
def datasets_go_to(tmp_path: Path, settings: Any) -> Path:
    settings.DATASET_DIR = tmp_path / "datasets"
    folder: Path = settings.DATASET_DIR
    return folder


def _file(content: bytes = TRACE, name: str = "trace.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/csv")


def _kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_uploaded_log_is_kept_shown_and_deleted(cast: Cast, datasets_go_to: Path) -> None:
    client = client_of(cast.alice)
    created = client.post(DATASETS, {"file": _file(), "name": "Chat", "assume_model": "gpt-4o"})
    assert created.status_code == 201, created.content
    dataset = created.json()
    assert set(dataset) == {
        "id",
        "name",
        "filename",
        "format",
        "rows",
        "requests",
        "input_tokens",
        "output_tokens",
        "names_models",
        "assumed_model",
        "time_is_relative",
        "first_at",
        "last_at",
        "stored_bytes",
        "notes",
        "created_at",
    }
    assert (dataset["name"], dataset["filename"], dataset["requests"]) == ("Chat", "trace.csv", 2)
    assert (dataset["input_tokens"], dataset["output_tokens"]) == (770, 153)
    assert (dataset["names_models"], dataset["assumed_model"]) == (False, "gpt-4o")
    assert dataset["first_at"].startswith("2023-11-16T18:15:46")
    assert len(_kept(datasets_go_to)) == 1
    assert client_of(cast.bob).get(f"{DATASETS}/{dataset['id']}").json() == dataset
    assert client.get(DATASETS).json()["results"] == [dataset]
    assert client.delete(f"{DATASETS}/{dataset['id']}").status_code == 204
    assert _kept(datasets_go_to) == []


def test_name_and_model_may_be_left_out(cast: Cast) -> None:
    dataset = client_of(cast.alice).post(DATASETS, {"file": _file()}).json()
    assert (dataset["name"], dataset["assumed_model"]) == ("trace", "")


def test_a_session_with_a_form_token_uploads_too(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    client.cookies["csrftoken"] = token = "c" * 32
    assert client.post(DATASETS, {"file": _file(), "csrfmiddlewaretoken": token}).status_code == 201
    assert_problem(client.post(DATASETS, {"file": _file()}), 403, "permission_denied")


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "empty.csv"), (bytes(range(256)) * 4, "random.bin"), (b"a,b\n1,2\n", "columns.csv")],
    ids=["empty", "random bytes", "missing columns"],
)
def test_a_file_that_is_no_log_is_refused_and_nothing_is_kept(
    cast: Cast, datasets_go_to: Path, content: bytes, name: str
) -> None:
    response = client_of(cast.alice).post(DATASETS, {"file": _file(content, name)})
    assert_problem(response, 400, "invalid_request")
    assert not Dataset.objects.exists()
    assert not QuotaUsage.objects.exclude(resource="cpu_seconds").exists()
    assert _kept(datasets_go_to) == []


@pytest.mark.parametrize(
    "form",
    [{}, {"file": "text"}, {"file": _file, "title": "x"}, {"file": _file, "assume_model": "no-such-model"}],
    ids=["no file", "text", "unknown field", "unknown model"],
)
def test_a_bad_form_is_refused(cast: Cast, form: dict[str, Any]) -> None:
    sent = {name: value() if callable(value) else value for name, value in form.items()}
    assert_problem(client_of(cast.alice).post(DATASETS, sent), 400, "invalid_request")
    assert not Dataset.objects.exists()


def test_json_is_no_upload(cast: Cast) -> None:
    response = client_of(cast.alice).post(DATASETS, {"file": "x"}, format="json")
    assert_problem(response, 415, "unsupported_media_type")


def test_a_form_that_breaks_off_is_refused(cast: Cast) -> None:
    response = client_of(cast.alice).generic(
        "POST", DATASETS, b"--x\r\nrubbish", content_type="multipart/form-data; boundary=x"
    )
    assert_problem(response, 400, "invalid_request")
    response = client_of(cast.alice).generic("POST", DATASETS, b"x", content_type="multipart/form-data")
    assert_problem(response, 400, "invalid_request")


class _Unread:
    """A body that must not be read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = read


def test_too_large_an_upload_is_refused_unread(cast: Cast) -> None:
    response = client_of(cast.alice).generic(
        "POST",
        DATASETS,
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH="200000000",
        **{"wsgi.input": _Unread()},
    )
    assert_problem(response, 413, "payload_too_large")


def test_a_file_larger_than_the_limit_is_not_written_on() -> None:
    handler = BoundedUploadHandler(limit=10)
    handler.new_file("file", "f", "text/csv", 0)
    handler.receive_data_chunk(b"x" * 10, 0)
    with pytest.raises(PayloadTooLargeError):
        handler.receive_data_chunk(b"x", 10)
    assert handler.file.closed


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["at the end", "on the way"])
def test_a_file_that_the_disk_has_no_room_for_is_given_up(size: int) -> None:
    handler = BoundedUploadHandler(limit=2 * size)
    handler.new_file("file", "f", "text/csv", 0)
    handler.file.file.close()
    handler.file.file = Path("/dev/full").open("wb")  # noqa: SIM115 - the handler closes it
    with pytest.raises(UnavailableError):
        _take(handler, b"x" * size)
    assert handler.file.closed


def _take(handler: BoundedUploadHandler, content: bytes) -> None:
    handler.receive_data_chunk(content, 0)
    handler.file_complete(len(content))


@pytest.mark.parametrize("by_session", [True, False])
def test_a_file_between_the_limits_is_refused_as_it_arrives(
    cast: Cast, settings: Any, datasets_go_to: Path, by_session: bool
) -> None:
    settings.MAX_UPLOAD_BYTES = len(TRACE) - 1
    client: Any = client_of(cast.alice)
    if by_session:
        client = Client(enforce_csrf_checks=True)
        client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
        client.cookies["csrftoken"] = "c" * 32
    sent = {"file": _file(), "csrfmiddlewaretoken": "c" * 32}
    assert_problem(client.post(DATASETS, sent), 413, "payload_too_large")
    assert _kept(datasets_go_to) == []


def test_files_go_to_disk_not_to_memory() -> None:
    handler = BoundedUploadHandler(limit=100)
    handler.new_file("file", "f", "text/csv", 0)
    assert Path(handler.file.temporary_file_path()).is_file()
    handler.file.close()


def test_the_limit_is_the_operators(cast: Cast) -> None:
    assert settings.MAX_UPLOAD_BYTES == 100_000_000


def test_a_used_up_storage_refuses_and_keeps_nothing(cast: Cast, datasets_go_to: Path) -> None:
    cast.globex.tier.limits.filter(resource="storage_bytes").update(limit=10)
    problem = assert_problem(client_of(cast.carol).post(DATASETS, {"file": _file()}), 429, "quota_exceeded")
    assert (problem["resource"], problem["limit"], problem["resets_at"]) == ("storage_bytes", 10, None)
    assert _kept(datasets_go_to) == []


def test_a_viewer_uploads_nothing(cast: Cast) -> None:
    viewer = make_user("victor", cast.acme, Role.VIEWER)
    assert_problem(client_of(viewer).post(DATASETS, {"file": _file()}), 403, "permission_denied")


def test_an_outsider_sees_and_deletes_no_dataset(cast: Cast) -> None:
    dataset = make_dataset(cast.alice)
    client = client_of(cast.carol)
    assert client.get(DATASETS).json()["results"] == []
    for call in (client.get, client.delete):
        absent = assert_problem(call(f"{DATASETS}/{uuid4()}"), 404, "not_found")
        assert assert_problem(call(f"{DATASETS}/{dataset.id}"), 404, "not_found") == absent
    assert Dataset.objects.filter(id=dataset.id).exists()


def test_a_member_does_not_delete_a_team_mates_dataset_but_an_owner_may(cast: Cast) -> None:
    hers, his = make_dataset(cast.alice), make_dataset(cast.bob)
    assert_problem(client_of(cast.bob).delete(f"{DATASETS}/{hers.id}"), 403, "permission_denied")
    assert client_of(cast.alice).delete(f"{DATASETS}/{his.id}").status_code == 204
