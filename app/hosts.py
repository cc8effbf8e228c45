"""Host names that lead into somebody's own network, wherever they come from."""

# Names that no public resolver answers for: RFC 6761, 6762, 7686, 8375 and ICANN's private-use names.
_PRIVATE = frozenset(
    {
        *("localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "onion"),
        "home.arpa",
    }
)


def is_private(host: str) -> bool:
    """Whether the name (lower case, no trailing dot) is or lies below one of a private network."""
    labels = host.split(".")
    return labels[-1] in _PRIVATE or ".".join(labels[-2:]) in _PRIVATE
