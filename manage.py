#!/usr/bin/env python3
"""Django's command line for Netra."""

import os
import sys


def main() -> None:
    """Run the management command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from contexts.exceptions import NetraError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, NetraError) as error:
        sys.exit(f"netra: {error}")


if __name__ == "__main__":
    main()
