"""redis-py: every method of its JSON client."""

import os

from redis import Redis
from redis.commands.json.path import Path
from redis.exceptions import ResponseError


def documents(client):
    json = client.json()
    assert json.set("doc", Path.root_path(), {"a": 1, "b": [1, 2.5, "x", None], "c": {"d": True}}) is True
    assert json.set("doc", "$", {}, nx=True) is None
    assert json.set("none", "$", {}, xx=True) is None
    assert json.get("doc") == {"a": 1, "b": [1, 2.5, "x", None], "c": {"d": True}}
    assert json.get("doc", "$.a", "$.c.d") == {"$.a": [1], "$.c.d": [True]}
    assert json.get("doc", ".a") == 1
    assert json.get("none") is None
    assert json.mset([("one", "$", {"n": 1}), ("two", "$", {"n": 2})]) is True
    assert json.mget(["one", "two", "none"], "$.n") == [[1], [2], None]
    assert json.merge("one", "$", {"n": None, "m": 3}) is True
    assert json.get("one") == {"m": 3}
    assert json.type("doc", "$.b[*]") in (
        ["integer", "number", "string", "null"],
        [["integer", "number", "string", "null"]],
    )
    assert json.delete("one") == 1
    assert json.forget("two", "$.n") == 1
    assert json.clear("doc", "$.c") == 1
    assert json.get("doc", "$.c") == [{}]


def numbers_and_strings(client):
    json = client.json()
    json.set("doc", "$", {"n": 1, "s": "ab", "flag": False})
    assert json.numincrby("doc", "$.n", 2) == [3]
    assert json.numincrby("doc", "$.n", 0.5) == [3.5]
    assert json.nummultby("doc", "$.n", 2) == [7.0]
    assert json.strappend("doc", "cd", "$.s") == [4]
    assert json.strlen("doc", "$.s") == [4]
    assert json.toggle("doc", "$.flag") in ([1], [True])
    big = 9007199254740993
    json.set("doc", "$.big", big)
    assert json.get("doc", "$.big") == [big]


def arrays_and_objects(client):
    json = client.json()
    json.set("doc", "$", {"list": [1, 2, 3], "map": {"x": 1, "y": 2}})
    assert json.arrappend("doc", "$.list", 4, 5) == [5]
    assert json.arrindex("doc", "$.list", 4) == [3]
    assert json.arrinsert("doc", "$.list", 0, 0) == [6]
    assert json.arrlen("doc", "$.list") == [6]
    assert json.arrpop("doc", "$.list") in ([5], ["5"])
    assert json.arrtrim("doc", "$.list", 1, 2) == [2]
    assert json.get("doc", "$.list") == [[1, 2]]
    assert json.objkeys("doc", "$.map") == [["x", "y"]]
    assert json.objlen("doc", "$.map") == [2]
    assert json.debug("MEMORY", "doc") > 0
    assert json.resp("doc", "$.list") == [["[", 1, 2]]


def errors(client):
    json = client.json()
    client.set("text", "no json")
    for call in [
        lambda: json.get("text"),
        lambda: json.set("new", "$.a", 1),
        lambda: json.get("doc", ".missing"),
    ]:
        try:
            call()
        except ResponseError:
            continue
        raise AssertionError("an error was due")


for protocol in (2, 3):
    redis = Redis(
        port=int(os.environ["MAYFLY_RESP_PORT"]), protocol=protocol, decode_responses=True
    )
    redis.flushall()
    for part in (documents, numbers_and_strings, arrays_and_objects, errors):
        part(redis)
