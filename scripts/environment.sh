#!/bin/sh
# Make .env for development, with a secret key of this checkout's own, unless there is one.
set -eu
cd "$(dirname "$0")/.."

[ -e .env ] && exit 0
umask 077
key=$(.venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(60))')
cat >.env <<END
# For development on this machine; made once, yours to change. .env.example lists every variable.
DEBUG=true
SECRET_KEY=$key
END
