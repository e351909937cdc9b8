"""Addresses as they may be shown: a user, a password and a query may be secret, and a line of text travels far."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

USER = re.compile(r"(https?://)[^\s/?#'\"`]*@", re.IGNORECASE)
QUERY = re.compile(
    # `?…` stands for a query that was taken out. Up to a space, a quote or the bracket of a view; the full stop or
    # comma of the sentence around it stays.
    r"(https?://[^\s?#'\"`]+)[?#](?!…)[^\s'\"`\[\]]*?(?=[.,:;)]*(?:[\s'\"`\[\]]|$))",
    re.IGNORECASE,
)


def shown(url: str) -> str:
    """A URL for people, without its user, password and query.

    >>> shown("https://me:pw@host.org:8443/a.zip?token=1")
    'https://host.org:8443/a.zip'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is no IPv6 address
        return without_secrets(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_secrets(text: str) -> str:
    """A text with every address in it as `shown`; anything else stays as it is.

    >>> without_secrets("'https://me:pw@host/a.zip?token=1[label=cat]' is gone (https://host/b?c).")
    "'https://host/a.zip[label=cat]' is gone (https://host/b)."
    """
    return QUERY.sub(r"\1", USER.sub(r"\1", text)) if "://" in text else text
