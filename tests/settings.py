"""The project's settings, on a PostgreSQL and a data folder of the tests' own that end with the run."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from netra_site.embedded import start_postgres

# before the settings are read; explicit values also win over a developer's .env
_folder = Path(tempfile.mkdtemp(prefix="netra-test-"))
if url := os.environ.get("NETRA_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = url
    atexit.register(shutil.rmtree, _folder)
else:
    # deletes the folder when this process has ended, even if it was killed
    os.environ["DATABASE_URL"] = start_postgres(_folder, temporary=True)
os.environ |= {
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
    "CSRF_TRUSTED_ORIGINS": "",
    "DEBUG": "1",
    "NETRA_DATA_DIR": str(_folder / "files"),
    "NETRA_MODEL": "offline",
    "REDIS_URL": "",
    "SECRET_KEY": "tests-only-0123456789-0123456789-0123456789-0123456789",
}
# processes that tests start read the project's own settings, with the variables above
os.environ["DJANGO_SETTINGS_MODULE"] = "netra_site.settings"

from netra_site.settings import *  # noqa: E402, F403
from netra_site.settings import DATABASES  # noqa: E402

# Tests prepare and check the rows of every tenant; what the project's own code does outside of a scope
# is found out by tests/scoping.py. Processes that tests start have no such default.
DATABASES["default"]["OPTIONS"]["options"] = "-c netra.scope=system -c netra.audit_truncation=on"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
