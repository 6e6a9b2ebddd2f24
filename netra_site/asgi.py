"""The ASGI application: HTTP to Django, sockets to the consumers."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra_site.settings")
http_application = get_asgi_application()

# These need the apps loaded.
from netra_site.body_limit import BodyLimit  # noqa: E402
from netra_site.upload_admission import UploadAdmission  # noqa: E402
from realtime.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(UploadAdmission(http_application)),
        "websocket": websocket_application,
    }
)
