"""Names of the channel layer's groups."""

from uuid import UUID


def user_group(user_id: UUID) -> str:
    """Return the group in which everything for one user is published."""
    return f"user.{user_id}"
