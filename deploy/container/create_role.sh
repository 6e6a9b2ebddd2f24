#!/bin/sh
# Make Netra's role and database when PostgreSQL's data is made: no superuser, for those pass row-level security over.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$NETRA_ROLE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE netra LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE netra OWNER netra ENCODING 'UTF8' TEMPLATE template0;
SQL
