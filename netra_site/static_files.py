"""Static files over ASGI; one that is missing is an ordinary 404, in development too."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware
from servestatic.responders import MissingFileError


class StaticFilesMiddleware(ServeStaticMiddleware):
    """Serve static files, and pass on what is none."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request for a file, or have the site answer."""
        try:
            response: HttpResponseBase = await super().__call__(request)
        except MissingFileError:
            response = await self.get_response(request)
        return response
