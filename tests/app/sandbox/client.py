"""What the tests say to a sandbox."""

from typing import Any

import aiohttp


class Client:
    """`get` and `post` send a key; `raw` is the session without it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.raw = session

    async def get(self, path: str, **parameters: str) -> tuple[int, Any]:
        async with self.raw.get(path, params=parameters, headers={"x-api-key": "key"}) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any = None, **parameters: str) -> tuple[int, Any]:
        headers = {"x-api-key": "key"}
        async with self.raw.post(path, params=parameters, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.raw.request(method, path, json=body) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def set(self, provider: str, **options: Any) -> None:
        status, said = await self.control("PUT", f"/_options/{provider}", options)
        assert status == 200, said

    async def fault(self, provider: str, mode: str, **more: Any) -> None:
        status, said = await self.control("PUT", f"/_faults/{provider}", {"mode": mode, **more})
        assert status == 200, said

    async def calls(self, provider: str) -> Any:
        _, calls = await self.control("GET", "/_calls")
        return calls[provider]
