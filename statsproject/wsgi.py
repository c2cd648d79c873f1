"""WSGI entry: the collector answers POST /api/events before Django's handler sees the request; around both, Requests."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "statsproject.settings")

django_application = get_wsgi_application()

from events.collector import Collector  # noqa: E402  (models can be imported only after django.setup)
from statsproject import pulse  # noqa: E402
from statsproject.requests import Requests  # noqa: E402

application = Requests(Collector(django_application))
pulse.keep("web")
