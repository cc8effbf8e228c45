"""A small program in the place of the API, a worker and the sandbox: serves HTTP, and ends in order when asked.

GET /environment is answered with its environment; everything else with 200. At its end it adds its role
to the file that HOLDFAST_TEST_ENDS names, and whether it still had its Temporal.
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(dict(os.environ) if self.path == "/environment" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def end(_number: int, _frame: FrameType | None) -> None:
    if path := os.environ.get("HOLDFAST_TEST_ENDS"):
        with Path(path).open("a") as file:
            file.write(f"{sys.argv[1]} {'with' if temporal_answers() else 'without'} temporal\n")
    sys.exit(0)


def temporal_answers() -> bool:
    host, port = os.environ["HOLDFAST_TEMPORAL__ADDRESS"].split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    arguments = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    port = arguments.get("--port") or os.environ["HOLDFAST_WORKER_METRICS_PORT"]
    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
