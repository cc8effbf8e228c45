"""The sandbox's own interface: `/_health`, `/_faults`, `/_options`, `/_calls`, `/_log`.

    GET    /_health                 {"status": "ok", "providers": […]}
    GET    /_faults                 the faults in force, by provider
    PUT    /_faults/{provider}      {"mode": "flaky", "rate": 0.5, "latency_ms": 0, "seconds": 10}
    DELETE /_faults[/{provider}]    204, also where there was none
    GET    /_options                the options of every provider
    PUT    /_options/{provider}     some of them; answers all
    GET    /_calls                  requests received and credits billed, by provider and key
    DELETE /_calls                  204, all counters at zero, all logs empty
    GET    /_log/{provider}         its last calls: when each came, by the clock that says "now", and its status or 0

What is wrong with a request is said in `{"error": …}` with status 400 (404 for a path, 405 for a method).
"""

from collections.abc import Callable, Mapping
from json import loads
from typing import Any

from app.sandbox.checks import RefusedError
from app.sandbox.emulator import Answer, Request, encode, http_answer
from app.sandbox.faults import read_fault
from app.sandbox.options import amend, as_json
from app.sandbox.station import Station

_DONE = Answer(b"", b"HTTP/1.1 204 No Content\r\n")

Handler = Callable[[str, bytes], Answer]


class Control:
    """Reads and changes what the stations do."""

    def __init__(self, stations: Mapping[str, Station[Any]], seed: int, clock: Callable[[], float]) -> None:
        self._stations = stations
        self._seed = seed
        self._clock = clock
        self._handlers: dict[tuple[str, str, bool], Handler] = {
            ("_health", "GET", False): self._health,
            ("_faults", "GET", False): self._faults,
            ("_faults", "DELETE", False): self._end_faults,
            ("_faults", "PUT", True): self._begin_fault,
            ("_faults", "DELETE", True): self._end_fault,
            ("_options", "GET", False): self._options,
            ("_options", "PUT", True): self._set_options,
            ("_calls", "GET", False): self._calls,
            ("_calls", "DELETE", False): self._reset_calls,
            ("_log", "GET", True): self._log,
        }

    def handle(self, request: Request) -> Answer:
        """Do what a control request asks for."""
        _, _, path = request.target.partition("?")[0].partition("/")
        room, _, provider = path.partition("/")
        handler = self._handlers.get((room, request.method, bool(provider)))
        if handler is None:
            allowed = sorted({method for name, method, one in self._handlers if (name, one) == (room, bool(provider))})
            said = f"{request.method} is not allowed here" if allowed else f"there is nothing at /{path}"
            headers = f"Allow: {', '.join(allowed)}\r\n" if allowed else ""
            return http_answer(405 if allowed else 404, encode({"error": said}), headers=headers)
        if provider and provider not in self._stations:
            return _bad(f"there is no provider {provider}; there are {', '.join(self._stations)}")
        try:
            return handler(provider, request.body)
        except RefusedError as refused:
            return _bad(str(refused))

    def _health(self, _provider: str, _body: bytes) -> Answer:
        return _json({"status": "ok", "providers": list(self._stations)})

    def _faults(self, _provider: str, _body: bytes) -> Answer:
        now = self._clock()
        faults = {name: station.fault for name, station in self._stations.items()}
        return _json({name: fault.as_json(now) for name, fault in faults.items() if fault is not None})

    def _begin_fault(self, provider: str, body: bytes) -> Answer:
        fault = read_fault(_parsed(body), provider=provider, seed=self._seed, clock=self._clock)
        self._stations[provider].fault = fault
        return _json(fault.as_json(self._clock()))

    def _end_fault(self, provider: str, _body: bytes) -> Answer:
        self._stations[provider].fault = None
        return _DONE

    def _end_faults(self, _provider: str, _body: bytes) -> Answer:
        for station in self._stations.values():
            station.fault = None
        return _DONE

    def _options(self, _provider: str, _body: bytes) -> Answer:
        return _json({name: as_json(station.options) for name, station in self._stations.items()})

    def _set_options(self, provider: str, body: bytes) -> Answer:
        station = self._stations[provider]
        station.configure(amend(station.options, _parsed(body)))
        return _json(as_json(station.options))

    def _calls(self, _provider: str, _body: bytes) -> Answer:
        return _json({name: station.calls.as_json() for name, station in self._stations.items()})

    def _log(self, provider: str, _body: bytes) -> Answer:
        return _json({"now": self._clock(), "calls": list(self._stations[provider].calls.log)})

    def _reset_calls(self, _provider: str, _body: bytes) -> Answer:
        for station in self._stations.values():
            station.calls.reset()
        return _DONE


def _parsed(body: bytes) -> object:
    try:
        parsed: object = loads(body)
    except ValueError:
        raise RefusedError("the body is not JSON") from None
    return parsed


def _json(value: object) -> Answer:
    return http_answer(200, encode(value))


def _bad(said: str) -> Answer:
    return http_answer(400, encode({"error": said}))
