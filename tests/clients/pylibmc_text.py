"""pylibmc, which is libmemcached, over the text protocol."""

import os

import pylibmc

PORT = os.environ["MAYFLY_MEMCACHED_PORT"]


def connect(binary, **behaviors):
    timeouts = {"connect_timeout": 20_000, "send_timeout": 20_000_000}
    timeouts["receive_timeout"] = 20_000_000
    return pylibmc.Client(
        [f"127.0.0.1:{PORT}"], binary=binary, behaviors=timeouts | behaviors
    )


def is_done(method, *arguments):
    """Over the binary protocol a key that is not there is an exception."""
    try:
        return method(*arguments)
    except pylibmc.NotFound:
        return False


def store_and_read(client):
    assert client.set("k", "text")
    assert client.get("k") == "text"
    assert client.get("none") is None
    for value in [b"bytes", 7, 2**70, True, [1, {"a": None}], "ü", "x" * 100_000]:
        assert client.set("object", value)
        assert client.get("object") == value
    assert client.set("small", "y" * 100_000, min_compress_len=1000)
    assert client.get("small") == "y" * 100_000
    assert not client.add("k", "w")
    assert client.add("new", "w")
    assert client.replace("k", b"middle")
    assert not is_done(client.replace, "none", "w")
    assert client.append("k", b">") and client.prepend("k", b"<")
    assert client.get("k") == b"<middle>"
    assert client.touch("k", 100)
    assert not is_done(client.touch, "none", 100)
    assert client.delete("new") and not client.delete("new")


def many(client):
    items = {f"many:{at}": at for at in range(500)}
    assert client.set_multi(items) == []
    assert client.get_multi([*items, "none"]) == items
    assert client.get_multi(["1", "2", "x"], key_prefix="many:") == {"1": 1, "2": 2}
    assert client.incr_multi(["many:1", "many:2"], delta=10) is None
    assert client.get_multi(["many:1", "many:2"]) == {"many:1": 11, "many:2": 12}
    assert client.delete_multi(list(items))
    assert client.get_multi(list(items)) == {}


def tokens(client):
    client.set("k", "1")
    value, token = client.gets("k")
    assert value == "1" and token
    assert client.cas("k", "2", token)
    assert not client.cas("k", "3", token)
    assert client.get("k") == "2"
    try:
        client.cas("none", "3", token)
        raise AssertionError("cas of a key that is not there")
    except pylibmc.NotFound:
        pass


def numbers(client):
    client.set("n", 10)
    assert client.incr("n", 5) == 15
    assert client.incr("n") == 16
    assert client.decr("n", 20) == 0
    try:
        client.incr("none")
        raise AssertionError("incr of a key that is not there")
    except pylibmc.NotFound:
        pass


def all_of(client):
    store_and_read(client)
    many(client)
    tokens(client)
    numbers(client)
    [(_, stats)] = client.get_stats()
    assert int(stats["curr_items" if "curr_items" in stats else b"curr_items"]) > 0
    assert client.flush_all()
    assert client.get("k") is None


if __name__ == "__main__":
    all_of(connect(False, cas=True))
    all_of(connect(False, cas=True, no_block=True, buffer_requests=False, tcp_nodelay=True))
