"""Everything that is kept of a person comes out in one archive, and nothing of anyone else."""

import hashlib
import json
import stat
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agents.models import Run
from contexts.models import AuditEntry, User
from contexts.personal_data.holders import Holder, Subject
from contexts.personal_data.registry import register_holder, unregister_holder
from tests.contexts.admin.pages import make_operator
from tests.contexts.lives import PARQUET, live
from tests.factories import make_cast, make_membership, make_user

pytestmark = pytest.mark.django_db(transaction=True)


class Notes(Holder):
    """What another application keeps; more of it than anyone would hold at once."""

    kind = "notes"

    def records(self, subject: Subject) -> Iterator[dict[str, Any]]:
        return ({"note": number, "of": subject.user_id} for number in range(10_000))


@pytest.fixture
def zaphod(transactional_db: None) -> Iterator[User]:
    """Make someone in two tenants who has left something of everything, among others who did, too."""
    cast = make_cast()
    staff = make_operator()
    zaphod = make_user("zaphod.beeble", cast.acme)
    make_membership(zaphod, cast.globex)
    for user in (zaphod, cast.alice):
        live(user, by=staff)
    register_holder(Notes())
    yield zaphod
    unregister_holder("notes")


def exported(user: User, destination: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Export, and return the manifest and the files."""
    call_command(
        "export_user", user.username, "--output", destination, "--operator", "Trillian", stdout=StringIO()
    )
    with zipfile.ZipFile(destination) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("manifest.json")), files


def test_everything_is_in_the_archive_and_nothing_of_anyone_else(zaphod: User, tmp_path: Path):
    alice, run = User.objects.get(username="alice"), Run.objects.get(user=zaphod)
    manifest, files = exported(zaphod, tmp_path / "all.zip")
    assert (manifest["format"], manifest["version"]) == ("netra-personal-data", 1)
    assert {entry["name"]: (entry["bytes"], entry["sha256"]) for entry in manifest["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()
    }
    kinds = {name: content.splitlines() for name, content in files.items() if name.endswith(".jsonl")}
    assert [name for name, lines in kinds.items() if not lines] == ["run_steps.jsonl", "redis.jsonl"]
    counts = {entry["name"]: entry["records"] for entry in manifest["files"] if entry["records"] is not None}
    assert counts == {name: len(lines) for name, lines in kinds.items()}
    (account,) = map(json.loads, kinds["account.jsonl"])
    assert (account["email"], account["last_name"]) == ("zaphod.beeble@example.org", "Archer")
    assert (counts["memberships.jsonl"], counts["events.jsonl"], counts["notes.jsonl"]) == (2, 2, 10_000)
    assert json.loads(kinds["runs.jsonl"][0])["id"] == str(run.id)
    assert files[f"charts/{run.charts.get().id}.svg"] == b"<svg>of a chart</svg>"
    assert files[f"datasets/{zaphod.datasets.get().id}.parquet"] == PARQUET
    actions = [json.loads(line)["action"] for line in kinds["audit.jsonl"]]
    assert {"tool_called", "membership_changed", "user_changed", "quota_reset"} <= set(actions)
    everything = b"\n".join(files.values())
    for foreign in (b"I am alice", str(alice.id).encode(), zaphod.password.encode(), b"sk-not-to-export"):
        assert foreign not in everything


def test_it_is_for_its_owners_eyes_and_audited(zaphod: User, tmp_path: Path):
    destination = tmp_path / "all.zip"
    manifest, _ = exported(zaphod, destination)
    assert stat.S_IMODE(destination.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [destination]
    told = AuditEntry.objects.get(action="user_exported")
    assert (told.user_id, told.details["operator"]) == (zaphod.id, "Trillian")
    assert told.details["files"] == len(manifest["files"])


def test_a_file_that_is_not_there_is_named(zaphod: User, tmp_path: Path):
    dataset = zaphod.datasets.get()
    dataset.path.unlink()
    manifest, files = exported(zaphod, tmp_path / "all.zip")
    assert manifest["missing"] == [f"datasets/{dataset.id}.parquet"]
    assert not any(name.endswith(".parquet") for name in files)


@pytest.mark.mission_critical("P9")
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(zaphod: User, tmp_path: Path):
    there = tmp_path / "there.zip"
    there.write_bytes(b"mine")
    for arguments in (
        ["nobody", "--output", tmp_path / "a.zip"],
        [zaphod.username, "--output", there],
        [zaphod.username, "--output", tmp_path / "no" / "such" / "folder.zip"],
    ):
        with pytest.raises(CommandError):
            call_command("export_user", *map(str, arguments))
    assert (there.read_bytes(), list(tmp_path.iterdir())) == (b"mine", [there])
