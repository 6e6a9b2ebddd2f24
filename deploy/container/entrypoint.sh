#!/bin/sh
# web, worker, migrate, or any other command of manage.py with its arguments.
set -eu
case "${1:-web}" in
web) exec python manage.py serve --no-worker --host 0.0.0.0 --port "${PORT:-8000}" ;;
worker) exec python manage.py worker ;;
migrate) exec python manage.py migrate --no-input ;;
*) exec python manage.py "$@" ;;
esac
