"""pymemcache: every method of its client, over the text protocol."""

import os
import time

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from pymemcache.serde import pickle_serde

ADDRESS = ("127.0.0.1", int(os.environ["MAYFLY_MEMCACHED_PORT"]))


def store_and_read(client):
    assert client.set("k", b"v") is True
    assert client.get("k") == b"v"
    assert client.get("none") is None
    assert client.get("none", "default") == "default"
    assert client.add("k", b"w", noreply=False) is False
    assert client.add("new", b"w", noreply=False) is True
    assert client.replace("none", b"w", noreply=False) is False
    assert client.replace("k", b"middle", noreply=False) is True
    assert client.append("k", b">", noreply=False) is True
    assert client.prepend("k", b"<", noreply=False) is True
    assert client.append("none", b">", noreply=False) is False
    assert client.get("k") == b"<middle>"
    assert client.set("blank", b"", noreply=False) is True
    assert client.get("blank") == b""
    assert client.set("lines", b"a\r\nEND\r\nb", noreply=False) is True
    assert client.get("lines") == b"a\r\nEND\r\nb"


def many(client):
    items = {f"many:{at}": b"x" * at for at in range(300)}
    assert client.set_many(items, noreply=False) == []
    assert client.get_many([*items, "none"]) == items
    found = client.gets_many(["many:1", "many:2", "none"])
    assert {key: value for key, (value, _) in found.items()} == {"many:1": b"x", "many:2": b"xx"}
    assert client.delete_many(list(items), noreply=False) is True
    assert client.get_many(list(items)) == {}


def tokens(client):
    client.set("k", b"1", noreply=False)
    value, token = client.gets("k")
    assert value == b"1"
    assert client.cas("k", b"2", token, noreply=False) is True
    assert client.cas("k", b"3", token, noreply=False) is False
    assert client.cas("none", b"3", token, noreply=False) is None
    assert client.gets("none") == (None, None)
    assert client.get("k") == b"2"


def numbers(client):
    client.set("n", b"10", noreply=False)
    assert client.incr("n", 5) == 15
    assert client.decr("n", 20) == 0
    assert client.incr("none", 1) is None
    client.set("word", b"abc", noreply=False)
    try:
        client.incr("word", 1)
        raise AssertionError("a word was incremented")
    except MemcacheClientError as error:
        assert b"non-numeric" in error.args[0]


def times(client):
    client.set("t", b"v", expire=1, noreply=False)
    assert client.touch("t", 100, noreply=False) is True
    assert client.touch("none", 100, noreply=False) is False
    assert client.gat("t", 100) == b"v"
    assert client.gat("none", 100) is None
    value, token = client.gats("t", 1)
    assert value == b"v" and token == client.gets("t")[1]
    client.set("gone", b"v", expire=-1, noreply=False)
    assert client.get("gone") is None
    deadline = time.monotonic() + 20
    while client.get("t") is not None:
        assert time.monotonic() < deadline, "t does not expire"
        time.sleep(0.05)


def server(client):
    assert client.version().count(b".") == 2
    stats = client.stats()
    assert stats[b"curr_items"] > 0 and stats[b"cmd_get"] > 0 and stats[b"threads"] > 0
    assert client.stats("settings")[b"item_size_max"] == 1 << 20
    try:
        client.set("large", b"x" * (2 << 20), noreply=False)
        raise AssertionError("an item beyond the limit was stored")
    except MemcacheServerError as error:
        assert b"too large" in error.args[0]
    assert client.get("large") is None
    assert client.delete("k", noreply=False) is True
    assert client.delete("k", noreply=False) is False
    assert client.flush_all(noreply=False) is True
    assert client.get("new") is None


def all_of(client):
    store_and_read(client)
    many(client)
    tokens(client)
    numbers(client)
    if hasattr(client, "gat"):
        times(client)
    server(client)
    client.quit()


all_of(Client(ADDRESS, timeout=20, default_noreply=False))
all_of(Client(ADDRESS, timeout=20, default_noreply=False, key_prefix=b"prefix:"))

objects = PooledClient(ADDRESS, timeout=20, serde=pickle_serde, max_pool_size=2)
objects.set("object", {"a": [1, 2.5, None]}, noreply=False)
assert objects.get("object") == {"a": [1, 2.5, None]}
objects.set("number", 7, noreply=False)
assert objects.get("number") == 7

ring = HashClient([ADDRESS], timeout=20, use_pooling=True)
assert ring.set_many({"a": b"1", "b": b"2"}, noreply=False) == []
assert ring.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"2"}

# Nothing is answered to noreply, so the next reply is the next request's.
quiet = Client(ADDRESS, timeout=20, default_noreply=True)
for at in range(100):
    quiet.set("q", str(at))
    quiet.append("q", b"")
    quiet.delete("none")
    quiet.incr("q", 1, noreply=True)
assert quiet.get("q") == b"100"
