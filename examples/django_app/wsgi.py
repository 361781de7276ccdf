"""What a server of WSGI runs.

EXAMPLE_TABLE=/dev/shm/example gunicorn --chdir examples -w 4 django_app.wsgi
curl -H "Authorization: $(fastgw token --key jane-key --secret jane-hs256-secret)" http://127.0.0.1:8000/me
"""

import os
from pathlib import Path

from django.core.wsgi import get_wsgi_application

from fastgw.wsgi import GatewayMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_app.settings")
application = GatewayMiddleware(get_wsgi_application(), config=Path(__file__).parents[1] / "config.json")
