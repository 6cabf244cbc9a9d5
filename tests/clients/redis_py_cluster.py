"""redis-py before a cluster: redis_py_cluster.py PORT DIRECTORY USER PROTOCOL

Once as a client of one server, once as a client that knows clusters. Both see
every key of every node.
"""

import sys

import redis
from redis.cluster import RedisCluster

port, directory, user, protocol = sys.argv[1:]
options = dict(
    host="localhost",
    port=int(port),
    ssl=True,
    ssl_certfile=f"{directory}/{user}.crt",
    ssl_keyfile=f"{directory}/{user}.key",
    ssl_ca_certs=f"{directory}/ca.crt",
    decode_responses=True,
    socket_timeout=60,
    protocol=int(protocol),
)
plain = redis.Redis(**options)
aware = RedisCluster(**options)
assert len(aware.get_primaries()) == 1 and not aware.get_replicas()

for name, r in (("plain", plain), ("aware", aware)):
    keys = [f"{name}:{protocol}:{n}" for n in range(300)]
    with r.pipeline(transaction=False) as pipe:
        for n, key in enumerate(keys):
            pipe.set(key, n)
            pipe.incr(key)
        assert pipe.execute() == [it for n in range(300) for it in (True, n + 1)]
    assert set(keys) <= set(plain.scan_iter(match=f"{name}:{protocol}:*", count=100))
    assert r.get(keys[7]) == "8"
    for key in keys[:20]:
        r.rpush(f"list:{key}", "x")
        assert list(r.blpop(f"list:{key}", timeout=5)) == [f"list:{key}", "x"]
    up = r.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    for n, key in enumerate(keys[:20]):
        assert up(keys=[key], args=[10]) == n + 11
    assert r.delete(*keys) == 300

keys = [f"many:{protocol}:{n}" for n in range(100)]
assert plain.mset({key: n for n, key in enumerate(keys)})
assert plain.mget(keys) == [str(n) for n in range(100)]
with plain.pipeline() as pipe:
    pipe.watch(keys[0])
    value = int(pipe.get(keys[0]))
    pipe.multi()
    pipe.set(keys[0], value + 1)
    pipe.get(keys[0])
    assert pipe.execute() == [True, "1"]
listener = plain.pubsub()
listener.subscribe("news")
assert listener.get_message(timeout=10)["type"] == "subscribe"
plain.publish("news", "hello")
assert listener.get_message(timeout=10)["data"] == "hello"
listener.close()
assert plain.unlink(*keys) == 100
print("ok")
