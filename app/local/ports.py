"""TCP ports on loopback."""

import os
import socket
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

if sys.platform != "win32":  # where the stack says in one line that it does not run
    import fcntl

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


class PortClaims:
    """Ports chosen by this user's stacks, from before their servers listen: two stacks that start in the same moment
    do not choose the same. A claim ends with `close`, or with the process."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.gettempdir()) / f"holdfast-ports-{os.getuid()}"
        self._claimed: dict[int, IO[bytes]] = {}

    def choose(self, preferred: Collection[int]) -> int:
        """Claim the first of `preferred` that is free, else any port that is."""
        for port in preferred:
            if is_free(port) and self._claim(port):
                return port
        while not self._claim(port := free_port(avoiding=self._claimed)):
            continue
        return port

    def close(self) -> None:
        for file in self._claimed.values():
            file.close()
        self._claimed.clear()

    def _claim(self, port: int) -> bool:
        if port in self._claimed:
            return False
        self._directory.mkdir(mode=0o700, exist_ok=True)
        file = (self._directory / str(port)).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._claimed[port] = file
        return True
