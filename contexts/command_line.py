"""What management commands have in common."""

import getpass
from argparse import ArgumentParser


def add_operator_argument(parser: ArgumentParser) -> None:
    """Declare `--operator`: who acts, as the audit and receipts say it."""
    parser.add_argument(
        "--operator",
        default=_account(),
        metavar="NAME",
        help="Who does this, for the audit; the account of the operating system unless it is given.",
    )


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return "unknown"
