"""How our mails look: plain text and the same as HTML, with what people wrote escaped."""

from collections.abc import Sequence
from html import escape

from app.mail.ports import Mail


def compose(*, to: str, subject: str, paragraphs: Sequence[str], action: str, url: str) -> Mail:
    """A mail of plain paragraphs whose one link, `url`, does what `action` says."""
    text = "\n\n".join([*paragraphs, f"{action}:\n{url}"]) + "\n"
    html = "".join(f"<p>{escape(each)}</p>" for each in paragraphs)
    link = f'<p><a href="{escape(url)}">{escape(action)}</a></p>'
    return Mail(to, subject, text, f"<!doctype html><html><body>{html}{link}</body></html>\n")


def link(public_url: str, page: str, token: str) -> str:
    """The address of a page of app/links, with a token that no server on the way sees: it stays behind the ``#``."""
    return f"{public_url.rstrip('/')}/links/{page}#token={token}"
