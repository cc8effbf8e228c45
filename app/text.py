"""Text that people write: what is taken, and the one form in which it is kept."""

import re
import unicodedata
from typing import Annotated

import idna
from pydantic import AfterValidator, Field

# As RFC 5322 calls it an atom: what needs quoting is no address that anybody has.
_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_PART_CHARACTERS = 64
_EMAIL_CHARACTERS = 254

# Control, format, surrogate, line and paragraph ends. Of "format" only the joiners are part of writing: without them
# Persian, Hindi and many emoji cannot be written; the others reorder or hide what is around them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")


def one_line(text: str) -> str:
    """`text` in NFC without blanks around it.

    Raises ValueError for what is empty then, and for control characters, line ends and what hides or reorders text.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("must not be blank")
    if any(unicodedata.category(each) in _REFUSED_CATEGORIES and each not in _JOINERS for each in text):
        raise ValueError("must be one line without control characters")
    return text


def email_address(text: str) -> str:
    """`text` as an address is kept and compared: in lower case, its domain in ASCII.

    Raises ValueError where it is no address that mail could be sent to.
    """
    wrong = ValueError("must be an e-mail address such as ada@example.com")
    local, at, domain = unicodedata.normalize("NFC", text).strip().lower().rpartition("@")
    if not at or len(local) > _LOCAL_PART_CHARACTERS or not _LOCAL_PART.fullmatch(local):
        raise wrong
    try:
        domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise wrong from None
    labels = domain.split(".")
    address = f"{local}@{domain}"
    if len(labels) == 1 or len(address) > _EMAIL_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise wrong
    return address


# For models of requests. The bound before normalising keeps its work small.
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(one_line)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(one_line)]
EmailAddress = Annotated[
    str,
    Field(min_length=3, max_length=_EMAIL_CHARACTERS, json_schema_extra={"format": "email"}),
    AfterValidator(email_address),
]
