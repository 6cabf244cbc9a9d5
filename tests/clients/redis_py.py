"""redis-py through the gateway: redis_py.py PORT DIRECTORY USER REDIS_USER PROTOCOL

DIRECTORY holds ca.crt, USER.crt and USER.key. Exits with a traceback at the
first answer that is not what redis-py's documentation promises.
"""

import sys
import threading
import time

import redis

port, directory, user, redis_user, protocol = sys.argv[1:]
prefix = f"py:{redis.__version__}:{protocol}:"

# As redis-py's documentation connects over TLS with a client certificate.
options = dict(
    host="localhost",
    port=int(port),
    ssl=True,
    ssl_certfile=f"{directory}/{user}.crt",
    ssl_keyfile=f"{directory}/{user}.key",
    ssl_cert_reqs="required",
    ssl_ca_certs=f"{directory}/ca.crt",
    decode_responses=True,
    socket_timeout=20,
)
if protocol != "default":
    options["protocol"] = int(protocol)


def key(name):
    return prefix + name


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


# A CA that has not signed the gateway's certificate: the client refuses it.
try:
    redis.Redis(**{**options, "ssl_ca_certs": f"{directory}/{user}.crt"}).ping()
    raise SystemExit("a gateway of an unknown CA was believed")
except redis.ConnectionError as error:
    equal("certificate verify failed" in str(error).lower(), True)

r = redis.Redis(**options)

# Plain commands and types.
equal(r.ping(), True)
equal(r.acl_whoami(), redis_user)
equal(r.set(key("k"), "v"), True)
equal(r.get(key("k")), "v")
equal(r.get(key("none")), None)
equal(r.hset(key("h"), mapping={"a": "1", "b": "2"}), 2)
equal(r.hgetall(key("h")), {"a": "1", "b": "2"})
equal(r.sadd(key("s"), "x", "y"), 2)
equal(r.smembers(key("s")), {"x", "y"})
equal(r.zadd(key("z"), {"m": 1.5}), 1)
equal(r.zscore(key("z"), "m"), 1.5)
equal(r.zrange(key("z"), 0, -1, withscores=True) in ([("m", 1.5)], [["m", 1.5]]), True)
equal(sorted(r.scan_iter(match=prefix + "*")), sorted(key(n) for n in "khsz"))
assert r.info()["redis_version"]
big = "x" * (3 << 20)
equal(r.set(key("big"), big), True)
equal(r.get(key("big")) == big, True)
try:
    r.lpush(key("k"), "x")
    raise SystemExit("a wrong type was not an error")
except redis.ResponseError as error:
    equal("WRONGTYPE" in str(error), True)
try:
    r.execute_command("DEBUG", "SLEEP", "0")
    raise SystemExit("DEBUG was not refused")
except redis.exceptions.NoPermissionError as error:
    equal("no permissions to run the 'debug' command" in str(error), True)

# Pipelines, with and without a transaction.
with r.pipeline(transaction=False) as pipe:
    for n in range(500):
        pipe.set(key(f"p{n}"), n)
        pipe.get(key(f"p{n}"))
    equal(pipe.execute(), [x for n in range(500) for x in (True, str(n))])
with r.pipeline(transaction=True) as pipe:
    pipe.incr(key("n")).incr(key("n")).get(key("n"))
    equal(pipe.execute(), [1, 2, "2"])

# Optimistic locking: a conflict, then success.
with r.pipeline() as pipe:
    pipe.watch(key("n"))
    value = int(pipe.get(key("n")))
    r.set(key("n"), 10)
    pipe.multi()
    pipe.set(key("n"), value + 1)
    try:
        pipe.execute()
        raise SystemExit("a conflict went unseen")
    except redis.WatchError:
        pass
equal(r.transaction(lambda p: (p.get(key("n")), p.multi(), p.incr(key("n"))), key("n")), [11])

# Publish and subscribe.
pubsub = r.pubsub()
pubsub.subscribe(key("news"))
pubsub.psubscribe(key("pattern.*"))
equal({pubsub.get_message(timeout=10)["type"] for _ in range(2)}, {"subscribe", "psubscribe"})
equal(r.publish(key("news"), "hello"), 1)
equal(pubsub.get_message(timeout=10)["data"], "hello")
equal(r.publish(key("pattern.a"), "world"), 1)
equal(pubsub.get_message(timeout=10)["channel"], key("pattern.a"))
pubsub.ping()
pubsub.unsubscribe()
pubsub.punsubscribe()
pubsub.close()

# Waiting.
threading.Timer(0.2, lambda: r.rpush(key("q"), "item")).start()
equal(list(r.blpop([key("q")], timeout=10)), [key("q"), "item"])
start = time.monotonic()
equal(r.blpop([key("q")], timeout=0.2), None)
assert time.monotonic() - start >= 0.2

# Scripts: EVALSHA, NOSCRIPT, SCRIPT LOAD, EVALSHA.
r.script_flush()
script = r.register_script("return {KEYS[1], ARGV[1]}")
equal(script(keys=["a"], args=["b"]), ["a", "b"])
equal(script(keys=["a"], args=["c"]), ["a", "c"])

# Another database, a name, a health check.
other = redis.Redis(**options, db=3, client_name="worker", health_check_interval=1)
equal(other.get(key("k")), None)
other.set(key("k"), "three")
equal(other.client_getname(), "worker")
equal(other.client_info()["db"] in (3, "3"), True)
time.sleep(1.1)
equal(other.get(key("k")), "three")
equal(r.get(key("k")), "v")

# Streams.
stream_id = r.xadd(key("x"), {"f": "v"})
reply = r.xread({key("x"): "0"}, block=100)
equal(stream_id in str(reply), True)

# A password that an application still carries: of its own user, and of another.
with_password = redis.Redis(**options, username=redis_user, password="whatever it was")
equal(with_password.acl_whoami(), redis_user)
try:
    redis.Redis(**options, username="somebody", password="else").ping()
    raise SystemExit("another user's name was accepted")
except redis.AuthenticationError:
    pass

# Many threads, one pool.
def work(n):
    for i in range(50):
        equal(r.echo(f"{n}:{i}"), f"{n}:{i}")
    done.append(n)


done = []
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
equal(sorted(done), list(range(16)))
print("ok")
