"""What is kept of a person beside their work: account, sign-ins, quotas, audit."""

from collections.abc import Iterator, Mapping
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Q
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from contexts.audit_erasure import BATCH, entries_about, entries_to_erase, erase_entries
from contexts.models import (
    AuditEntry,
    ContextRecord,
    Membership,
    QuotaEntry,
    QuotaGrant,
    QuotaOverride,
    QuotaReservation,
    QuotaUsage,
    SecurityIncident,
    SocketTicket,
    TokenFamily,
    User,
)
from contexts.personal_data.holders import ErasureOptions, Holder, Kept, Subject, TableHolder, erasing

LEDGER_STAYS = "what was used stays in its tenant's totals, under an id that names nobody"
AUDIT_STAYS = "who did what stays sealed, under an id that names nobody; details are erased"
INCIDENTS_STAY = "an isolation breach concerns others too; ids alone"


class AccountHolder(Holder):
    """The account itself; an erasure deletes it when nothing else is left."""

    kind = "account"
    answers_for = frozenset({"contexts.User_groups.user", "contexts.User_user_permissions.user"})
    must_be_empty = False

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield the account with its preferences, without the password."""
        fields = [field.attname for field in User._meta.concrete_fields if field.attname != "password"]
        user = User.objects.get(id=subject.user_id)
        groups = list(user.groups.order_by("name").values_list("name", flat=True))
        yield {**{name: getattr(user, name) for name in fields}, "groups": groups}

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Count the account."""
        return {User._meta.db_table: 1}


class CounterHolder(TableHolder):
    """Counters and reservations: they go with the account, to match the ledger as long as it is there."""

    must_be_empty = False

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Leave them to the end."""


class AuditHolder(Holder):
    """What the audit says of somebody: the entries stay, what they say in detail goes."""

    kind = "audit"
    answers_for = frozenset({"contexts.AuditEntry.user"})
    # Ends of contexts are audited late, by ids alone.
    must_be_empty = False
    table = f"{AuditEntry._meta.db_table} (details)"

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield all entries that are theirs or name them."""
        return entries_about(subject.user_id, subject.names)

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Count the entries whose details are to go."""
        found = entries_to_erase(subject.user_id, subject.names)
        return {self.table: sum(map(len, found.values()))}

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Erase the details, chain by chain."""
        with erasing(subject, self.kind):
            found = entries_to_erase(subject.user_id, subject.names)
        for chain_id, entry_ids in sorted(found.items()):
            for start in range(0, len(entry_ids), BATCH):
                with erasing(subject, self.kind) as erased:
                    count = erase_entries(subject.user_id, chain_id, entry_ids[start : start + BATCH])
                    erased.rows = {self.table: count} if count else {}

    def kept(self, subject: Subject) -> Iterator[Kept]:
        """Yield how many entries there are."""
        count = AuditEntry.objects.filter(user_id=subject.user_id).count()
        yield Kept(what=AuditEntry._meta.db_table, count=count, why=AUDIT_STAYS)


class SessionHolder(Holder):
    """Sign-ins by cookie; a session names its user inside of what it stores."""

    kind = "sessions"

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield until when each is good."""
        return ({"expires_at": session.expire_date} for session in self._of(subject))

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Count them."""
        return {Session._meta.db_table: sum(1 for _ in self._of(subject))}

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete them."""
        with erasing(subject, self.kind) as erased:
            keys = [session.session_key for session in self._of(subject)]
            erased.add_deleted(Session.objects.filter(session_key__in=keys).delete()[1])

    def _of(self, subject: Subject) -> Iterator[Session]:
        name = str(subject.user_id)
        sessions = Session.objects.order_by().iterator(chunk_size=500)
        return (session for session in sessions if session.get_decoded().get(SESSION_KEY) == name)


def _of_incidents(subject: Subject) -> Any:
    involved = Q(contexts__contains=[{"user_id": str(subject.user_id)}])
    return SecurityIncident.objects.filter(involved | Q(resolved_by_id=subject.user_id))


def _of_admin_log(subject: Subject) -> Any:
    of_user = Q(content_type=ContentType.objects.get_for_model(User), object_id=str(subject.user_id))
    names_them = Q(object_repr__in=subject.names)
    for name in subject.names:
        # As memberships are called.
        names_them |= Q(object_repr__startswith=f"{name} · ")
    return LogEntry.objects.filter(of_user | names_them | Q(user_id=subject.user_id))


def account_holders() -> tuple[Holder, ...]:
    """Return the holders of this package, and of the packages that accounts are made with."""
    return (
        AccountHolder(),
        AuditHolder(),
        TableHolder(
            "incidents",
            SecurityIncident,
            find=_of_incidents,
            keys=["resolved_by"],
            hidden=["resolved_by_id"],
            why_kept=INCIDENTS_STAY,
        ),
        TableHolder("quota_ledger", QuotaEntry, why_kept=LEDGER_STAYS),
        CounterHolder("quota_usage", QuotaUsage),
        CounterHolder("quota_reservations", QuotaReservation),
        *(
            TableHolder(kind, model, keys=["user", "created_by"], hidden=["created_by_id"])
            for kind, model in (("quota_overrides", QuotaOverride), ("quota_grants", QuotaGrant))
        ),
        TableHolder("email_addresses", EmailAddress),
        TableHolder("memberships", Membership),
        TableHolder("context_records", ContextRecord),
        TableHolder("admin_log", LogEntry, find=_of_admin_log),
        TableHolder("socket_tickets", SocketTicket, hidden=["digest", "reference", "password_mark"]),
        TableHolder("refresh_tokens", OutstandingToken, hidden=["token", "jti"]),
        TableHolder("sign_ins", TokenFamily),
        SessionHolder(),
    )
