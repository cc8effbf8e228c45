"""`python -m app.sandbox`: the emulated providers as a process, on loopback.

Prints one line of JSON with its ports when it listens, and stops in order on SIGTERM and SIGINT. The secret of
``--stripe-webhook`` is taken from the variable SANDBOX_STRIPE_WEBHOOK_SECRET: everybody can read a command line.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from app.sandbox.server import SandboxOptions, serve

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop


WEBHOOK_SECRET = "SANDBOX_STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


def parse(arguments: list[str] | None = None) -> SandboxOptions:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m app.sandbox", description="Emulators of the providers, on loopback."
    )
    parser.add_argument("--port", type=_port, default=8765, help="of HTTP; 0 for any free one")
    parser.add_argument(
        "--dns-port", type=_port, default=8765, help="of DNS, UDP and TCP; 0 for the number of the HTTP port"
    )
    parser.add_argument("--latency-ms", type=_latency, default=0.0, help="delay of every answer (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the invented companies (default 0)")
    parser.add_argument("--state", type=Path, help="file in which Stripe is kept across restarts")
    parser.add_argument("--stripe-webhook", metavar="URL", help="where all of Stripe's events are sent")
    given = parser.parse_args(arguments)
    webhook = (given.stripe_webhook, os.environ.get(WEBHOOK_SECRET, "")) if given.stripe_webhook else None
    return SandboxOptions(
        http_port=given.port,
        dns_port=given.dns_port,
        latency_ms=given.latency_ms,
        seed=given.seed,
        state=given.state,
        stripe_webhook=webhook,
    )


async def run(options: SandboxOptions) -> None:
    """Serve until a signal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:
            # Windows: Ctrl-C raises KeyboardInterrupt in main instead.
            break
    sandbox = await serve(options)
    ports = {"http_port": sandbox.http_port, "dns_port": sandbox.dns_port}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    try:
        await stopped.wait()
    finally:
        await sandbox.close()


def main() -> int:
    """The process; returns its exit code."""
    options = parse()
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run(options))
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot listen: {error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"the sandbox cannot go on: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return port


def _latency(text: str) -> float:
    latency = float(text)
    if not 0 <= latency <= 600_000:
        raise argparse.ArgumentTypeError("must be from 0 to 600000")
    return latency


if __name__ == "__main__":
    sys.exit(main())
