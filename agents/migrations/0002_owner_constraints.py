"""Foreign keys that tie every row of a run to the run's own tenant and user.

Django 5.2 cannot write a foreign key of several columns, so they are written here: a message, run,
event or chart that names another owner than its thread or run is refused by the database itself.
"""

from django.db import migrations

OWNER = "(id, tenant_id, user_id)"
TIES = [
    # table, its columns, referenced table
    ("agents_run", "(thread_id, tenant_id, user_id)", "agents_thread"),
    ("agents_message", "(thread_id, tenant_id, user_id)", "agents_thread"),
    ("agents_message", "(run_id, tenant_id, user_id)", "agents_run"),
    ("agents_runevent", "(run_id, tenant_id, user_id)", "agents_run"),
    ("agents_chart", "(run_id, tenant_id, user_id)", "agents_run"),
]


def _name(table, columns):
    return f"{table}_{columns.split(',')[0].strip('(')}_owner"


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_initial")]
    operations = [
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_owner UNIQUE {OWNER}",
                f"ALTER TABLE {table} DROP CONSTRAINT {table}_owner",
            )
            for table in ("agents_thread", "agents_run")
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} ADD CONSTRAINT {_name(table, columns)} FOREIGN KEY {columns} "
                f"REFERENCES {target} {OWNER} DEFERRABLE INITIALLY DEFERRED",
                f"ALTER TABLE {table} DROP CONSTRAINT {_name(table, columns)}",
            )
            for table, columns, target in TIES
        ),
    ]
