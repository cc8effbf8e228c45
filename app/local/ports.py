"""TCP ports on loopback."""

import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen there now, on TCP and on UDP."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
    ):
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stream.bind((LOOPBACK, port))
            datagram.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(*, avoiding: Collection[int] = ()) -> int:
    """A port that is free now and not among `avoiding`."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((LOOPBACK, 0))
            port: int = trial.getsockname()[1]
        if port not in avoiding and is_free(port):
            return port


def choose(preferred: Collection[int], *, avoiding: Collection[int] = ()) -> int:
    """The first of `preferred` that is free and not among `avoiding`, else any port that is."""
    for port in preferred:
        if port not in avoiding and is_free(port):
            return port
    return free_port(avoiding=avoiding)
