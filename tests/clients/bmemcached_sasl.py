"""python-binary-memcached with SASL: the server's password is `secret`."""

import os

import bmemcached
from bmemcached.exceptions import AuthenticationNotSupported, InvalidCredentials, MemcachedException

ADDRESS = "127.0.0.1:" + os.environ["MAYFLY_MEMCACHED_PORT"]


def connect(user, password):
    return bmemcached.Client((ADDRESS,), user, password, socket_timeout=20)


client = connect("default", "secret")
assert client.set("k", "text") is True
assert client.get("k") == "text"
assert client.get("none") is None
assert client.add("k", "w") is False
assert client.add("new", {"a": [1, None]}) is True
assert client.get("new") == {"a": [1, None]}
assert client.replace("none", "w") is False
assert client.replace("k", b"bytes") is True
assert client.get("k") == b"bytes"
assert client.set("large", "x" * 100_000) is True
assert client.get("large") == "x" * 100_000

value, token = client.gets("k")
assert value == b"bytes"
assert client.cas("k", "2", token) is True
assert client.cas("k", "3", token) is False
assert client.get("k") == "2"

assert client.incr("n", 5, default=10) == 10
assert client.incr("n", 5) == 15
assert client.decr("n", 20) == 0

items = {f"many:{at}": at for at in range(300)}
assert client.set_multi(items) == []
assert client.get_multi([*items, "none"]) == items
assert client.delete_multi(list(items)) is True
assert client.get_multi(list(items)) == {}

assert client.delete("k") is True
assert client.get("k") is None
[stats] = client.stats().values()
assert int(stats["curr_items"]) > 0 and int(stats["auth_cmds"]) > 0
assert client.flush_all() is True
assert client.get("new") is None

for user, password in [("default", "wrong"), ("other", "secret"), ("default", "")]:
    try:
        connect(user, password).get("k")
        raise AssertionError(f"{user} was let in with '{password}'")
    except (AuthenticationNotSupported, InvalidCredentials, MemcachedException):
        pass
assert client.set("k", "still served") is True
