"""What else in the process may want to know about quotas."""

from django.dispatch import Signal

quotas_changed = Signal()
"""Sent after the commit, from any thread, with `user_id`, `tenant_id` and `resources`, a tuple of names."""
