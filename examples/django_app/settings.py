"""The least that Django wants to know."""

SECRET_KEY = "an example has no secrets"  # noqa: S105
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_app.urls"
WSGI_APPLICATION = "django_app.wsgi.application"
USE_TZ = True
