"""When the database does not answer: logged here, told to the client as `unavailable`."""

import logging

from django.db import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from contexts.exceptions import UnavailableError

logger = logging.getLogger(__name__)

DATABASE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""What the drivers raise when the database does not answer."""


def report_unavailable(error: Exception) -> UnavailableError:
    """Log a database error and return what the client is told."""
    logger.error("The database did not answer", exc_info=error)
    return UnavailableError("The database does not answer now; try again in a moment.")
