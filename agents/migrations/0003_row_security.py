"""Who sees which conversations, runs and datasets."""

from django.db import migrations

from contexts.row_security import EVENT_LOG, MY_TENANTS, OWN, secure


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_owner_constraints"), ("contexts", "0006_row_security")]
    operations = [
        *(secure(f"agents_{table}", all_own=OWN) for table in ("thread", "message", "chart")),
        # The event log writes the events of many runs in one statement, each row with its run's owner;
        # it locks the runs meanwhile, and changes none.
        secure("agents_run", all_own=OWN, select_event_log=EVENT_LOG, lock_event_log=EVENT_LOG),
        secure("agents_runevent", all_own=OWN, select_event_log=EVENT_LOG, insert_event_log=EVENT_LOG),
        # Datasets are their tenant's: everyone in it reads them, the service decides who deletes.
        secure("agents_dataset", select_tenant=MY_TENANTS, insert_own=OWN, delete_tenant=MY_TENANTS),
    ]
