"""What the tests of the context manager share."""

from contexts.identifiers import new_id


def fields(**overrides):
    """Return the arguments of `create_context` for a user that no other test has."""
    return {"user_id": new_id(), "tenant_id": new_id(), "operation": "run", **overrides}
