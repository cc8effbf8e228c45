"""The public sources: what they ask of their callers, how they refuse, and that they tell of one world."""

import pytest

from tests.app.sandbox.client import Client

NAMED = {"user-agent": "Test/1.0 (ops@holdfast.example)"}
TICKERS = "/edgar/www/files/company_tickers.json"
RECORDS = "/gleif/api/v1/lei-records"
NAME = "filter[entity.legalName]"


async def test_the_sec_serves_nobody_who_does_not_say_whom_to_write_to(client: Client):
    for agent, status in (("Test/1.0", 403), (NAMED["user-agent"], 200)):
        async with client.raw.get(TICKERS, headers={"user-agent": agent}) as answer:
            assert answer.status == status
            assert ("json" in answer.content_type) == (status == 200)


async def test_the_list_of_the_sec_has_an_etag_and_its_companies_are_there_by_number(client: Client):
    async with client.raw.get(TICKERS, headers=NAMED) as answer:
        listed, etag = await answer.json(), answer.headers["ETag"]
    assert list(listed) == [str(place) for place in range(len(listed))]
    async with client.raw.get(TICKERS, headers={**NAMED, "if-none-match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    first = listed["0"]
    async with client.raw.get(f"/edgar/data/submissions/CIK{first['cik_str']:010d}.json", headers=NAMED) as answer:
        company = await answer.json()
    assert (company["name"], company["tickers"]) == (first["title"], [first["ticker"]])
    async with client.raw.get("/edgar/data/submissions/CIK0000000001.json", headers=NAMED) as answer:
        assert (answer.status, answer.content_type) == (404, "application/xml")


async def test_the_sec_lets_in_again_when_the_time_is_over(client: Client):
    await client.set("edgar", requests_per_second=1, refused_seconds=0.05)
    statuses = []
    for _ in range(200):
        async with client.raw.get(TICKERS, headers=NAMED) as answer:
            statuses.append(answer.status)
        if 403 in statuses:
            break
    assert statuses[-1] == 403
    await client.set("edgar", requests_per_second=None)
    async with client.raw.get(TICKERS, headers=NAMED) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("name_filter", "asked", "found"),
    [("words", "Acme Widgets", True), ("whole", "Acme Widgets", False), ("words", "Acme Gadgets Inc", False)],
)
async def test_gleif_finds_by_words_or_by_the_whole_name(client: Client, name_filter: str, asked: str, found: bool):
    await client.set("gleif", hit_rate=1.0, name_filter=name_filter)
    async with client.raw.get(RECORDS, params={NAME: asked}) as answer:
        assert (answer.status, answer.content_type) == (200, "application/vnd.api+json")
        said = await answer.json()
    names = [record["attributes"]["entity"]["legalName"]["name"] for record in said["data"]]
    assert said["meta"]["pagination"]["total"] == len(names)
    assert any(name.startswith("Acme Widgets ") for name in names) == found


async def test_gleif_shows_one_page_at_a_time(client: Client):
    await client.set("gleif", hit_rate=1.0)
    pages = []
    for number in ("1", "2", "3"):
        status, said = await client.get(RECORDS, **{NAME: "Twin Peaks", "page[size]": "1", "page[number]": number})
        assert status == 200
        pages.append(said)
    assert [len(each["data"]) for each in pages[:2]] == [1, 1]
    assert pages[0]["data"] != pages[1]["data"]
    assert all(each["meta"]["pagination"]["lastPage"] >= 2 for each in pages)


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        (RECORDS, {}, 400),
        (RECORDS, {NAME: "Acme", "page[size]": "201"}, 400),
        (RECORDS, {NAME: "Acme", "page[size]": "many"}, 400),
        (f"{RECORDS}/98450DV7KQ2M4T1XW896", {}, 404),
    ],
)
async def test_gleif_refuses_in_the_form_of_json_api(
    client: Client, path: str, parameters: dict[str, str], status: int
):
    got, said = await client.get(path, **parameters)
    assert got == status
    assert said["errors"][0]["status"] == str(status)


@pytest.mark.parametrize("agent", ["", "python-requests/2.32", "curl/8.0"])
async def test_wikidata_serves_nobody_who_does_not_say_who_it_is(client: Client, agent: str):
    query = {"query": "SELECT * { VALUES ?site { <https://acme.com> } }"}
    async with client.raw.get("/wikidata/sparql", params=query, headers={"user-agent": agent}) as answer:
        assert answer.status == 403
    async with client.raw.get("/wikidata/sparql", params=query, headers=NAMED) as answer:
        assert (answer.status, answer.content_type) == (200, "application/sparql-results+json")


async def test_wikidata_takes_a_query_by_either_method_and_refuses_one_that_is_none(client: Client):
    await client.set("wikidata", hit_rate=1.0)
    sites = " ".join(
        f"<{scheme}://{www}acme.com{end}>" for scheme in ("http", "https") for www in ("", "www.") for end in ("", "/")
    )
    query = f"SELECT * {{ VALUES ?site {{ {sites} }} VALUES ?property {{ wd:P571 }} }}"
    async with client.raw.get("/wikidata/sparql", params={"query": query}, headers=NAMED) as answer:
        by_get = await answer.json()
    async with client.raw.post("/wikidata/sparql", data={"query": query}, headers=NAMED) as answer:
        assert await answer.json() == by_get
    [row] = by_get["results"]["bindings"]
    assert row["property"] == {"type": "uri", "value": "http://www.wikidata.org/entity/P571"}
    async with client.raw.post("/wikidata/sparql", data={"query": "SELECT {"}, headers=NAMED) as answer:
        assert answer.status == 400
