"""The migration story: services on Memcached and services on JSON share one document."""

import json
import os

from pymemcache.client.base import Client
from redis import Redis
from redis.exceptions import ResponseError

old = Client(("127.0.0.1", int(os.environ["MAYFLY_MEMCACHED_PORT"])), default_noreply=False)
new = Redis(port=int(os.environ["MAYFLY_RESP_PORT"]), decode_responses=True)

USER = {
    "id": 123,
    "name": "Joe",
    "email": "joe@test.com",
    "age": 30,
    "prefs": {"theme": "dark", "lang": "en"},
}


def an_old_service_writes_and_a_new_one_changes_a_field():
    # Python's json puts blanks behind colons and commas.
    assert old.set("user:123", json.dumps(USER), expire=3600, flags=5) is True
    assert new.type("user:123") == "string"
    assert new.json().get("user:123", "$.prefs.theme") == ["dark"]
    assert new.type("user:123") == "string", "reading changes nothing"

    assert new.json().set("user:123", "$.prefs.theme", "light") is True
    assert new.type("user:123") == "ReJSON-RL"
    assert 3500 < new.ttl("user:123") <= 3600

    changed = {**USER, "prefs": {"theme": "light", "lang": "en"}}
    compact = json.dumps(changed, separators=(",", ":"))
    assert old.get("user:123") == compact.encode(), "in the order it was written in"
    assert list(json.loads(old.get("user:123"))) == list(USER)


def an_old_service_goes_on_with_tokens():
    text, token = old.gets("user:123")
    user = json.loads(text)
    # Meanwhile a new service is faster.
    assert new.json().numincrby("user:123", "$.age", 1) == [31]
    user["name"] = "Lost"
    assert old.cas("user:123", json.dumps(user), token) is False

    text, token = old.gets("user:123")
    user = json.loads(text)
    assert user["age"] == 31
    user["name"] = "Joseph"
    assert old.cas("user:123", json.dumps(user), token, expire=3600) is True
    assert new.type("user:123") == "string"
    assert new.json().get("user:123", "$.name", "$.age") == {"$.name": ["Joseph"], "$.age": [31]}


def a_new_service_makes_documents_that_old_ones_read():
    assert new.json().set("user:124", "$", {"id": 124, "tags": []}) is True
    assert new.json().arrappend("user:124", "$.tags", "new", "é") == [2]
    assert json.loads(old.get("user:124")) == {"id": 124, "tags": ["new", "é"]}
    assert set(old.get_many(["user:123", "user:124"])) == {"user:123", "user:124"}
    assert old.append("user:124", b"x") is False
    assert old.touch("user:124", 100) is True
    assert 0 < new.ttl("user:124") <= 100
    assert old.delete("user:124") is True
    assert new.json().get("user:124") is None


def what_is_no_json_stays_what_it_is():
    old.set("blob", b"\x80\x04not json")
    try:
        new.json().get("blob")
        raise AssertionError("a blob is no document")
    except ResponseError as error:
        assert "wrong Redis type" in str(error)
    assert new.json().set("blob", "$", [1]) is True
    assert old.get("blob") == b"[1]"
    try:
        new.get("blob")
        raise AssertionError("GET reads strings alone")
    except ResponseError as error:
        assert "WRONGTYPE" in str(error)


an_old_service_writes_and_a_new_one_changes_a_field()
an_old_service_goes_on_with_tokens()
a_new_service_makes_documents_that_old_ones_read()
what_is_no_json_stays_what_it_is()
