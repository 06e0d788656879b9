"""meta-memcache, a client that speaks meta commands alone: leases, stale items, recaching."""

import os

from meta_memcache import CacheClient, Key, LeasePolicy, RecachePolicy, ServerAddress, SetMode
from meta_memcache import StalePolicy, connection_pool_factory_builder

PORT = int(os.environ["MAYFLY_MEMCACHED_PORT"])


def connect():
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress(host="127.0.0.1", port=PORT)],
        connection_pool_factory_fn=connection_pool_factory_builder(
            connection_timeout=20, recv_timeout=20
        ),
    )


one, other = connect(), connect()

assert one.set("k", "text", ttl=100) is True
assert other.get("k") == "text"
assert one.get("none") is None
for value in [b"bytes", 7, True, [1, {"a": None}], "ü", "x" * 100_000]:
    assert one.set("object", value, ttl=100) is True
    assert one.get("object") == value
assert one.set("k", "w", ttl=100, set_mode=SetMode.ADD) is False
assert one.set("none", "w", ttl=100, set_mode=SetMode.REPLACE) is False
assert one.refill("k", "w", ttl=100) is False
assert one.touch("k", ttl=100) is True and one.touch("none", ttl=100) is False
# Keys that are no text of one word go over the wire in base64.
assert one.set(Key("ü 1"), "v", ttl=100) is True
assert one.get(Key("ü 1")) == "v"

value, token = one.get_cas("k")
assert value == "text"
assert one.set("k", "2", ttl=100, cas_token=token) is True
assert one.set("k", "3", ttl=100, cas_token=token) is False
keys = [Key(f"many:{at}") for at in range(100)]
for at, key in enumerate(keys):
    one.set(key, at, ttl=100, no_reply=True)
assert one.multi_get([*keys, Key("none")]) == {**dict(zip(keys, range(100))), Key("none"): None}

assert one.delta_initialize_and_get("n", delta=5, initial_value=10, initial_ttl=100) == 10
assert one.delta_and_get("n", delta=5) == 15
assert one.delta_and_get("n", delta=-20) == 0
assert one.delta("none", delta=1) is False

# One client wins the lease on a miss; the other finds what the winner has made.
lease = LeasePolicy(ttl=30, miss_retries=2, miss_retry_wait=0.01)
value, token = one.get_or_lease_cas("leased", lease)
assert value is None and token
assert other.get_or_lease("leased", lease) is None, "nothing was made yet"
assert one.set("leased", "made", ttl=100, cas_token=token) is True
assert other.get_or_lease("leased", lease) == "made"

# Before it expires one client is asked to make it anew; the others go on with what there is.
one.set("recached", "old", ttl=20)
recache = RecachePolicy(ttl=30)
assert one.get("recached", recache_policy=recache) is None
assert other.get("recached", recache_policy=recache) == "old"

# So it is with an item that was marked stale instead of being deleted.
one.set("stale", "old", ttl=100)
stale = StalePolicy(mark_stale_on_deletion_ttl=30)
assert one.invalidate("stale", stale_policy=stale) is True
assert one.get("stale") is None
assert other.get("stale") == "old"
assert one.delete("k") is True and one.delete("k") is False
assert one.invalidate("k") is True
