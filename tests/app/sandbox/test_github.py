"""GitHub in the sandbox: organisations, and the headers that tell of the limit."""

import time

from tests.app.sandbox.client import Client


async def test_an_organization_is_the_company_of_that_name(client: Client):
    await client.set("github", hit_rate=1)
    status, said = await client.get("/github/orgs/Company-1")
    assert status == 200
    assert said["login"] == "company-1"
    assert said["type"] == "Organization"
    assert "company-1.com" in said["blog"]
    assert await client.get("/github/orgs/company-1") == (200, said)
    assert (await client.calls("github"))["by_key"] == {"company-1": 2}


async def test_what_is_not_there_is_not_found(client: Client):
    await client.set("github", hit_rate=0)
    for path in ("/github/orgs/company-1", "/github/orgs/-", "/github/users/company-1", "/github/"):
        status, said = await client.get(path)
        assert (status, said["message"], said["status"]) == (404, "Not Found", "404")
    assert (await client.post("/github/orgs/company-1"))[0] == 404


async def test_every_answer_tells_of_the_limit(client: Client):
    await client.set("github", requests_per_hour=2)
    left = []
    for number in range(3):
        async with client.raw.get(f"/github/orgs/company-{number}") as answer:
            left.append(answer.headers["x-ratelimit-remaining"])
            assert answer.headers["x-ratelimit-limit"] == "2"
            assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 3600
    assert left == ["1", "0", "0"]
    assert answer.status == 403
    # Each token has an hour of its own.
    async with client.raw.get("/github/orgs/company-1", headers={"Authorization": "Bearer mine"}) as answer:
        assert answer.headers["x-ratelimit-remaining"] == "1"
