"""Reason phrases for bodies of refusals that have no text of their own (RFC 9110 section 15)."""

from http import HTTPStatus

__all__ = ["phrase"]


def phrase(status: int) -> str:
    """What the status is called."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
