"""Datasets' files end with their rows, whoever deletes those."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction

from agents.models import Dataset

logger = logging.getLogger(__name__)


def delete_file_of(sender: type[Dataset], instance: Dataset, using: str, **told: Any) -> None:
    """Delete a deleted dataset's file at the commit, also when its user or tenant was deleted."""
    transaction.on_commit(partial(_delete, instance.path), using=using)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The row is gone for good: whoever deleted it must not be told otherwise.
        logger.exception("The file %s of a deleted dataset was not deleted", path)
