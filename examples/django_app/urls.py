"""Its pages."""

from django.http import HttpRequest, JsonResponse
from django.urls import path


def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"hello": "whoever you are"})


def me(request: HttpRequest) -> JsonResponse:
    caller = request.META["fastgw.consumer"]
    return JsonResponse({"hello": caller.username, "custom_id": caller.custom_id})


urlpatterns = [path("", index), path("me", me)]
