"""The language of a page: of its address, else the one chosen last, else the browser's."""

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

ENGLISH = ("/api/", "/admin/", "/metrics", "/healthz", "/tracker", "/embed/", "/demo")
"""What programs and staff read is in one language."""


def languages(request: HttpRequest) -> dict:
    """For templates: `languages`, the code, name and address of this page in each language, the current one marked."""

    def choices() -> list[dict]:
        query = request.GET.copy()
        found = []
        for code, name in settings.LANGUAGES:
            query["lang"] = code
            found.append({"code": code, "name": name, "url": f"?{query.urlencode()}", "is_current": code == current})
        return found

    current = translation.get_language()
    return {"languages": choices}


class LanguageMiddleware(LocaleMiddleware):
    """Django's, which reads the cookie and Accept-Language, with `?lang=` above them, remembered in the cookie."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(ENGLISH):
            translation.activate("en")
            return
        super().process_request(request)
        if chosen := _chosen(request):
            translation.activate(chosen)
            request.LANGUAGE_CODE = translation.get_language()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path_info.startswith(ENGLISH):
            return response
        if chosen := _chosen(request):
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME, chosen, max_age=settings.LANGUAGE_COOKIE_AGE, samesite="Lax",
                secure=settings.SESSION_COOKIE_SECURE, httponly=True,
            )  # fmt: skip
        return super().process_response(request, response)


def _chosen(request: HttpRequest) -> str | None:
    """The language that the address asks for, where it is one of ours."""
    code = request.GET.get("lang")
    return code if code in dict(settings.LANGUAGES) else None
