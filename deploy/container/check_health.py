"""End with status 0 when the web process of this container answers; with the standard library alone."""

import json
import os
import urllib.request

TIMEOUT_SECONDS = 4


def main() -> None:
    """Ask `/healthz` under the first name that the server answers to.

    Raises:
        OSError: when nothing answers, or not with status 200.
        SystemExit: when something else than Netra answers.
    """
    name = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip().lstrip(".")
    request = urllib.request.Request(
        f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/healthz",
        headers={"Host": "localhost" if name in {"", "*"} else name},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - always http
        if json.load(answer).get("service") != "netra":
            raise SystemExit("Something else than Netra answers.")


if __name__ == "__main__":
    main()
