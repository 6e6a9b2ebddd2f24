"""The receipt of an erasure is not lost, and an erasure that succeeded does not fail over it."""

import errno
import json
import os
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command

from contexts.management.commands import erase_user
from contexts.models import AuditEntry, User
from contexts.personal_data import receipt_files
from tests.contexts.erasing import erase, tables_with
from tests.factories import Cast, make_cast, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


def printed_again(user_id: Any) -> tuple[dict[str, Any], str]:
    """Return the receipt that is made again, and what is warned of."""
    output, warnings = StringIO(), StringIO()
    call_command("erase_user", "--receipt-of", str(user_id), stdout=output, stderr=warnings)
    return json.loads(output.getvalue()), warnings.getvalue()


@pytest.mark.mission_critical("P9")
def test_an_output_that_takes_nothing_is_no_failure_and_the_file_is_there(cast: Cast, tmp_path: Path):
    file, warnings = tmp_path / "bob.json", StringIO()
    # To close it fails, as the end of the process would, while anything is left in its buffer.
    with Path("/dev/full").open("w") as full:
        arguments = ["bob", "--yes", "--receipt", str(file)]
        call_command("erase_user", *arguments, stdout=full, stderr=warnings)
    receipt = json.loads(file.read_text())
    assert "No space left" in warnings.getvalue()
    assert f"--receipt-of {cast.bob.id}" in warnings.getvalue()
    assert receipt["user_id"] == str(cast.bob.id)
    assert (oct(file.stat().st_mode & 0o777), os.listdir(tmp_path)) == ("0o600", ["bob.json"])
    reading, writing = os.pipe()
    os.close(reading)
    warnings = StringIO()
    with os.fdopen(writing, "w") as broken:
        call_command("erase_user", "carol", "--yes", "--force", stdout=broken, stderr=warnings)
    assert warnings.getvalue() == ""
    assert printed_again(cast.carol.id)[0]["user_id"] == str(cast.carol.id)
    assert printed_again(cast.bob.id) == (receipt, "")


def test_a_file_that_fails_after_the_erasure_is_told_and_nothing_of_it_stays(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(receipt_files.os, "fsync", fail)
    output, warnings = StringIO(), StringIO()
    arguments = ["bob", "--yes", "--receipt", str(tmp_path / "bob.json")]
    call_command("erase_user", *arguments, stdout=output, stderr=warnings)
    assert json.loads(output.getvalue())["user_id"] == str(cast.bob.id)
    assert "Input/output error" in warnings.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_told_before_anything_happens(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def erase_nobody(*_: Any, **__: Any) -> None:
        raise AssertionError("It was begun.")

    monkeypatch.setattr(erase_user, "erase_person", erase_nobody)
    (tmp_path / "part").mkdir()
    (tmp_path / ".taken.json.part").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("part", "taken.json", "dangling", "no/folder"):
        with pytest.raises(CommandError, match="receipt cannot be written"):
            erase("bob", "--receipt", str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()


def test_a_receipt_is_made_again_from_the_audit_and_says_when_it_is_not_whole(cast: Cast, tmp_path: Path):
    receipt = erase("bob")
    assert printed_again(cast.bob.id) == (receipt, "")
    assert receipt["kept"]
    assert receipt["checked"]
    file = tmp_path / "again.json"
    call_command("erase_user", "--receipt-of", str(cast.bob.id), "--receipt", str(file), stdout=StringIO())
    assert json.loads(file.read_text()) == receipt
    for unknown in (uuid4(), cast.carol.id):
        with pytest.raises(CommandError, match="tells of no erasure"):
            printed_again(unknown)
    for arguments in ([], ["carol", "--receipt-of", str(cast.bob.id)], ["--receipt-of", "bob"]):
        with pytest.raises(CommandError):
            call_command("erase_user", "--yes", *arguments)
    assert User.objects.filter(username="carol", is_active=True).exists()
    # As of an erasure by an earlier version, which noted less.
    entry = AuditEntry.objects.get(action="user_erased")
    user_id = uuid4()
    AuditEntry.objects.create(
        user_id=user_id,
        action="user_erased",
        details={name: entry.details[name] for name in ("operator", "receipt_digest")},
    )
    again, warning = printed_again(user_id)
    assert (again["user_id"], again["operator"]) == (str(user_id), "Trillian")
    assert "digest is not that" in warning


def test_an_operator_who_erased_and_exported_others_is_erased_without_a_trace_of_the_name(
    cast: Cast, tmp_path: Path
):
    slarti = make_user("slartibartfast", email="coast@fjords.example", is_staff=True)
    EmailAddress.objects.create(user=slarti, email="lines@fjords.example")
    for name in ("slartibartfast", "Coast@fjords.example", "lines@fjords.example"):
        output = str(tmp_path / f"{name}.zip")
        call_command("export_user", "alice", "--output", output, "--operator", name, stdout=StringIO())
    receipt = erase("bob", operator="Slartibartfast")
    assert receipt["operator_id"] == str(slarti.id)
    assert "operator" not in receipt
    assert printed_again(cast.bob.id)[0] == receipt
    tellers = AuditEntry.objects.filter(details__operator_id=str(slarti.id)).values_list("action", flat=True)
    assert sorted(tellers) == ["user_erased", "user_erasure_started", *["user_exported"] * 3]
    erase("slartibartfast", operator="slartibartfast")
    assert tables_with("slartibartfast") == tables_with("fjords") == set()
    assert tables_with(str(slarti.id)) == {"contexts_auditentry"}
