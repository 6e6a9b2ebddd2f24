"""Reading request bodies: bounded before they are read, and strict about what they say."""

import codecs
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from contexts.exceptions import InvalidRequestError, PayloadTooLargeError

# Sent along by forms; not the serializers' business.
_IGNORED_FIELDS = frozenset({"csrfmiddlewaretoken"})


class StrictJSONParser(JSONParser):
    """JSON in UTF-8 (RFC 8259); what is nested too deeply to be read is malformed, not a server error."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Parse the body.

        Raises:
            ParseError: when it is no JSON, or nested beyond what can be read.
        """
        try:
            return super().parse(stream, media_type=media_type, parser_context=parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class TextField(serializers.CharField):
    """Text; a number or a truth value is not taken for one."""

    def to_internal_value(self, data: Any) -> str:
        """Return `data` when it is a string.

        Raises:
            ValidationError: when it is anything else.
        """
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class RequestSerializer(serializers.Serializer[Any]):
    """What a request may say; a field that it does not know is refused, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate `data`.

        Raises:
            ValidationError: naming each field that is unknown or has a bad value.
        """
        if isinstance(data, Mapping):
            unknown = sorted(set(map(str, data)) - set(self.fields) - _IGNORED_FIELDS)
            if unknown:
                raise serializers.ValidationError({name[:100]: ["Unknown field."] for name in unknown[:20]})
        return super().to_internal_value(data)


def check_body(request: HttpRequest, *, limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE) -> None:
    """Refuse a body of more than `limit` bytes, of unknown length, or not in UTF-8, before reading it.

    Raises:
        PayloadTooLargeError: naming the limit.
        InvalidRequestError: when its length is not stated, or its encoding is another.
    """
    if request.encoding and codecs.lookup(request.encoding).name != "utf-8":
        raise InvalidRequestError("Requests are in UTF-8.")
    stated = request.META.get("CONTENT_LENGTH") or ""
    if not stated and request.META.get("HTTP_TRANSFER_ENCODING"):
        raise InvalidRequestError("The request must state the length of its body (Content-Length).")
    if stated and not (stated.isascii() and stated.isdigit()):
        raise InvalidRequestError("The Content-Length is not a number.")
    if stated and int(stated) > limit:
        raise PayloadTooLargeError(
            f"The request has {int(stated):,} bytes; at most {limit:,} are taken here."
        )
