"""What else in the process may want to know."""

from django.dispatch import Signal

quotas_changed = Signal()
"""Sent after the commit, from any thread, with `user_id`, `tenant_id` and `resources`, a tuple of names."""

signed_out = Signal()
"""Sent after the commit, in no transaction, with `user_id` and `cancel_runs`: whether they asked for that."""
