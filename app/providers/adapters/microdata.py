"""The items that a page describes in microdata, as JSON-LD would say it: a type and properties by name.

By the rules of the HTML standard for names and values. Not read: `itemref`, with which an item takes properties from
elsewhere on the page.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

# Where the value of a property stands that is not the text of its element.
_VALUES = {
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
    **dict.fromkeys(("data", "meter"), "value"),
    "meta": "content",
    "object": "data",
    "time": "datetime",
}
# A page that nests deeper, or says more, means to be slow.
_DEEPEST = 50
_MOST_TEXT = 200_000


def items(tree: LexborHTMLParser, *, most: int) -> Iterator[Mapping[str, Any]]:
    """The items of the page and those that are properties of others. Of `most` elements no more are looked at."""
    found: dict[int, dict[str, Any]] = {}
    for element in tree.css("[itemscope]")[:most]:
        kinds = (element.attributes.get("itemtype") or "").split()
        found[element.mem_id] = {"@type": kinds}
    if not found:
        return
    size = 0
    for element in tree.css("[itemprop]")[:most]:
        holder = _holder(element, found)
        if holder is None or size > _MOST_TEXT:
            continue
        value = found.get(element.mem_id) or _value(element)
        size += len(value)
        for name in (element.attributes.get("itemprop") or "").split():
            holder.setdefault(name, []).append(value)
    yield from found.values()


def _holder(element: LexborNode, found: Mapping[int, dict[str, Any]]) -> dict[str, Any] | None:
    """The item that a property belongs to: the nearest one around it."""
    around = element.parent
    for _ in range(_DEEPEST):
        if around is None:
            return None
        if around.mem_id in found:
            return found[around.mem_id]
        around = around.parent
    return None


def _value(element: LexborNode) -> str:
    attribute = _VALUES.get(element.tag or "")
    value = element.attributes.get(attribute) if attribute else None
    return element.text(separator=" ") if value is None else value
