"""Names of columns, classes and categories as a reader sees them."""

from __future__ import annotations

import unicodedata


def as_seen(name: str) -> str:
    """Return a name without case, blanks and invisible characters."""
    signs = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in signs if not sign.isspace() and unicodedata.category(sign) not in ("Cf", "Cc"))


PREFIX = "dataset."
"""How the names of axes of the data begin, such as `dataset.noise`."""
