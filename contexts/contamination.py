"""From what contexts reach to reports and breaches of isolation."""

from collections.abc import Sequence

from contexts.context import UserExecutionContext
from contexts.isolation import Breach, SharedObject, find_shared
from contexts.models.incidents import Detector
from contexts.reports import ContaminationReport, Holder, SharedFinding


class ContaminationDetector:
    """Looks for objects shared between users, and tells each finding once for as long as it lasts."""

    def __init__(self) -> None:
        """Start with nothing found."""
        self._known: frozenset[SharedFinding] = frozenset()

    def detect(
        self, contexts: Sequence[UserExecutionContext], *, blocked: bool
    ) -> tuple[ContaminationReport, list[Breach]]:
        """Return what contexts of two users reach, and a breach for each finding that is new."""
        found = find_shared(contexts)
        findings = [_finding(shared) for shared in found]
        breaches = [
            _breach(shared, finding, blocked=blocked)
            for shared, finding in zip(found, findings, strict=True)
            if finding not in self._known
        ]
        self._known = frozenset(findings)
        report = ContaminationReport(
            checked=len(contexts),
            shared=tuple(findings),
            truncated=tuple(context.context_id for context in found.truncated),
        )
        return report, breaches


def _finding(shared: SharedObject) -> SharedFinding:
    return SharedFinding(
        kind=shared.kind.value,
        type_name=shared.type_name,
        holders=tuple(
            Holder(
                context_id=context.context_id,
                user_id=context.user_id,
                tenant_id=context.tenant_id,
                path=path,
            )
            for context, path in shared.holders
        ),
    )


def _breach(shared: SharedObject, finding: SharedFinding, *, blocked: bool) -> Breach:
    return Breach(
        kind=shared.kind,
        detector=Detector.ON_DEMAND,
        blocked=blocked,
        contexts=tuple(dict.fromkeys(context for context, _ in shared.holders)),
        details={
            "type": finding.type_name,
            "paths": [{"context_id": str(one.context_id), "path": one.path} for one in finding.holders],
        },
    )
