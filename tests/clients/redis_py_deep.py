"""What programs build on redis-py: redis_py_deep.py PORT DIRECTORY USER PROTOCOL NAME

Pipelines, threads that subscribe, locks, scripts, scans, its client-side cache,
pools, retries, consumer groups. Each has to come out as redis-py's documentation
says, whatever the others of this run do at the same time. SCRIPT FLUSH and the
like are left out: several of these programs share one Redis.
"""

import random
import sys
import threading
import time

import redis
from redis.backoff import ExponentialBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

port, directory, user, protocol, name = sys.argv[1:]
prefix = f"deep:{name}:{protocol}:"
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
r = redis.Redis(**options)
if name == "hiredis":
    assert "Hiredis" in redis.connection.DefaultParser.__name__, redis.connection.DefaultParser


def key(name):
    return prefix + name


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def raises(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), f"{error!r} does not say {text!r}"
        return
    raise AssertionError(f"no {kind.__name__} that says {text!r}")


def together(count, work):
    """Runs work(0) .. work(count - 1) on threads and raises what any of them raised."""
    errors = []

    def guarded(n):
        try:
            work(n)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    [thread.start() for thread in threads]
    [thread.join(90) for thread in threads]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def pipelines():
    pipe = r.pipeline(transaction=False)
    for n in range(2000):
        pipe.set(key(f"p{n}"), n).get(key(f"p{n}"))
    replies = pipe.execute()
    equal(replies, [x for n in range(2000) for x in (True, str(n))])
    # An error in the middle stands where its command stood.
    for transaction in (False, True):
        pipe = r.pipeline(transaction=transaction)
        pipe.set(key("text"), "a").lpush(key("text"), "x").get(key("text"))
        replies = pipe.execute(raise_on_error=False)
        equal([replies[0], replies[2]], [True, "a"])
        assert "WRONGTYPE" in str(replies[1]), replies
        pipe.set(key("text"), "b").lpush(key("text"), "x")
        raises(redis.ResponseError, "WRONGTYPE", pipe.execute)
        equal(r.get(key("text")), "b")
    # A command that cannot be queued takes the transaction along.
    pipe = r.pipeline()
    pipe.set(key("text"), "c").execute_command("GET")
    raises(redis.ResponseError, "wrong number of arguments", pipe.execute)
    equal(r.get(key("text")), "b")
    pipe = r.pipeline()
    pipe.execute_command("NOSUCHCOMMAND", "x").get(key("text"))
    raises(redis.ResponseError, "unknown command", pipe.execute)
    equal(r.pipeline().execute(), [])


def watching():
    r.set(key("watched"), 0)

    def work(_):
        for _ in range(10):
            def step(pipe):
                now = int(pipe.get(key("watched")))
                pipe.multi()
                pipe.set(key("watched"), now + 1)
            r.transaction(step, key("watched"))

    together(4, work)
    equal(r.get(key("watched")), "40")


def publishing():
    """Four subscribers on threads of redis-py's own, three channels and a pattern."""
    channels = [key(f"channel{n}") for n in range(3)]
    heard = [[] for _ in range(4)]
    threads, pubsubs = [], []
    for mine in heard:
        pubsub = r.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(**{channel: lambda m, mine=mine: mine.append(("c", m["channel"], m["data"])) for channel in channels})
        pubsub.psubscribe(**{key("pattern.*"): lambda m, mine=mine: mine.append(("p", m["channel"], m["data"]))})
        threads.append(pubsub.run_in_thread(sleep_time=0.1, daemon=True))
        pubsubs.append(pubsub)
    until(lambda: r.pubsub_numsub(*channels) == [(channel, 4) for channel in channels])
    sent = []
    for n in range(120):
        name, kind = (channels[n % 3], "c") if n % 4 else (key("pattern.x"), "p")
        equal(r.publish(name, str(n)), 4)
        sent.append((kind, name, str(n)))
    until(lambda: all(len(mine) == len(sent) for mine in heard))
    for mine in heard:
        equal(mine, sent)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    until(lambda: r.pubsub_numsub(*channels) == [(channel, 0) for channel in channels])
    # A subscriber that is idle for longer than its health check's interval.
    idle = redis.Redis(**options, health_check_interval=1).pubsub(ignore_subscribe_messages=True)
    idle.subscribe(key("idle"))
    equal(idle.get_message(timeout=1.5), None)
    equal(idle.get_message(timeout=1.5), None)
    r.publish(key("idle"), "still there")
    message = next(m for m in iter(lambda: idle.get_message(timeout=40), None) if m["type"] == "message")
    equal(message["data"], "still there")
    idle.close()
    sharded = r.pubsub()
    sharded.ssubscribe(key("shard"))
    equal(sharded.get_message(timeout=40)["type"], "ssubscribe")
    equal(r.execute_command("SPUBLISH", key("shard"), "hello"), 1)
    equal(sharded.get_message(timeout=40)["data"], "hello")
    sharded.sunsubscribe()
    equal(sharded.get_message(timeout=40)["type"], "sunsubscribe")
    sharded.close()


def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"still not so: {holds.__code__.co_names}"
        time.sleep(0.02)


def locking():
    r.set(key("guarded"), 0)

    def work(_):
        for _ in range(6):
            with r.lock(key("lock"), timeout=60, sleep=0.005, blocking_timeout=60):
                value = int(r.get(key("guarded")))
                time.sleep(random.random() / 500)
                r.set(key("guarded"), value + 1)

    together(5, work)
    equal(r.get(key("guarded")), "30")
    lock = r.lock(key("lock"), timeout=30)
    equal(lock.acquire(blocking=False), True)
    equal(r.lock(key("lock")).acquire(blocking=False), False)
    equal(r.lock(key("lock")).acquire(blocking_timeout=0.1), False)
    equal((lock.owned(), lock.locked()), (True, True))
    equal(lock.extend(30), True)
    assert 30_000 < r.pttl(key("lock")) <= 60_000
    equal(lock.reacquire(), True)
    r.set(key("lock"), "somebody else")
    raises(redis.exceptions.LockNotOwnedError, "no longer owned", lock.release)
    r.delete(key("lock"))


def scripting():
    move = r.register_script(
        """local n = redis.call('INCRBY', KEYS[1], ARGV[1])
        -- """ + prefix + """
        return {n, ARGV[2], redis.status_reply('FINE'), false}"""
    )
    answer = [1, "a", "FINE", None]
    equal(move(keys=[key("scripted")], args=[1, "a"]), answer)
    with r.pipeline() as pipe:
        for n in range(20):
            move(keys=[key("scripted")], args=[1, n], client=pipe)
        equal([reply[:2] for reply in pipe.execute()], [[n + 2, str(n)] for n in range(20)])
    together(8, lambda n: [equal(move([key(f"scripted{n}")], [1, i])[:2], [i + 1, str(i)]) for i in range(25)])
    wrong = r.register_script("return redis.error_reply('MINE own words')")
    raises(redis.ResponseError, "own words", wrong)
    equal(r.script_exists(move.sha, "0" * 40), [True, False])


def scanning():
    names = {key(f"scan:{n}") for n in range(1500)}
    pipe = r.pipeline(transaction=False)
    for name in names:
        pipe.set(name, 1)
    pipe.execute()
    equal(set(r.scan_iter(match=key("scan:*"), count=300)), names)
    equal(set(r.scan_iter(match=key("scan:*"), count=1000, _type="list")), set())
    fields = {f"f{n}": f"v{n}" for n in range(2000)}
    r.hset(key("hash"), mapping=fields)
    equal(dict(r.hscan_iter(key("hash"), count=200)), fields)
    r.sadd(key("set"), *fields)
    equal(set(r.sscan_iter(key("set"), count=200)), set(fields))
    r.zadd(key("zset"), {f"m{n}": n for n in range(2000)})
    equal(dict(r.zscan_iter(key("zset"), count=200)), {f"m{n}": n for n in range(2000)})
    equal(r.delete(*names), len(names))


def caching():
    """redis-py keeps what it has read until Redis says that it has changed; over RESP3 alone."""
    cached = redis.Redis(**{**options, "protocol": 3}, cache_config=CacheConfig(max_size=100))
    r.set(key("cached"), "one")
    equal(cached.get(key("cached")), "one")
    equal(cached.get_cache().size, 1)
    # A command that nothing else here uses, so that Redis' own count says whether it was asked.
    r.set(key("cached range"), "abcde")
    asked = lambda: int(r.info("commandstats").get("cmdstat_getrange", {"calls": 0})["calls"])
    before = asked()
    for _ in range(200):
        equal(cached.getrange(key("cached range"), 1, 3), "bcd")
    # Others that run this at the same time ask once or twice, too.
    assert asked() - before < 50, asked() - before
    for n in range(20):
        r.set(key("cached"), n)
        until(lambda: cached.get(key("cached")) == str(n))
    r.delete(key("cached"))
    until(lambda: cached.get(key("cached")) is None)
    equal(cached.mget(key("cached"), key("text")), [None, r.get(key("text"))])
    cached.close()


def pooling():
    """Fifty threads on ten connections, which wait for one another."""
    pool = redis.BlockingConnectionPool(
        max_connections=10, timeout=60, connection_class=redis.SSLConnection, **{k: v for k, v in options.items() if k != "ssl"}
    )
    shared = redis.Redis(connection_pool=pool)

    def work(n):
        for i in range(4):
            equal(shared.echo(f"{n}:{i}"), f"{n}:{i}")
            with shared.pipeline(transaction=bool(i % 2)) as pipe:
                equal(pipe.incr(key(f"pool{n}")).echo(f"{n}.{i}").execute(), [i + 1, f"{n}.{i}"])
        equal(shared.blpop([key("never")], timeout=0.01), None)

    together(50, work)
    assert len(pool._connections) <= 10
    pool.disconnect()


def retrying():
    """A connection that breaks in between is replaced without a word; one that idles is checked."""
    broken = redis.Redis(
        **options,
        client_name="retry",
        health_check_interval=1,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.01), 5),
        retry_on_error=[redis.ConnectionError],
    )
    for n in range(5):
        equal(broken.incr(key("retried")), n + 1)
        connection = broken.connection_pool.get_connection()
        connection._sock.shutdown(2)
        broken.connection_pool.release(connection)
    time.sleep(1.1)
    equal((broken.get(key("retried")), broken.client_getname()), ("5", "retry"))
    broken.close()


def consuming():
    """A group of consumers: each entry goes to exactly one, and none stays pending."""
    r.xgroup_create(key("stream"), "group", id="0", mkstream=True)
    taken = []
    produced = threading.Event()

    def work(n):
        while True:
            reply = r.xreadgroup("group", f"consumer{n}", {key("stream"): ">"}, count=7, block=300)
            streams = reply.values() if isinstance(reply, dict) else [entries for _, entries in reply or []]
            entries = [entry for found in streams for entry in (found[0] if found and isinstance(found[0], list) else found)]
            if not entries and produced.is_set():
                return
            for number, fields in entries:
                taken.append(int(fields["n"]))
                equal(r.xack(key("stream"), "group", number), 1)

    def produce():
        for n in range(150):
            r.xadd(key("stream"), {"n": n})
        produced.set()

    producer = threading.Thread(target=produce)
    producer.start()
    together(4, work)
    producer.join()
    equal(sorted(taken), list(range(150)))
    equal(r.xpending(key("stream"), "group")["pending"], 0)


def queueing():
    """Work handed over by blocking moves; nothing is lost or doubled."""
    done = []

    def work(n):
        while (item := r.blmove(key("todo"), key("doing"), timeout=40, src="LEFT", dest="RIGHT")) != "end":
            done.append(int(item))
            equal(r.lrem(key("doing"), 1, item), 1)

    def feed():
        for n in range(150):
            r.rpush(key("todo"), n)
        r.rpush(key("todo"), *["end"] * 4)

    feeder = threading.Thread(target=feed)
    feeder.start()
    together(4, work)
    feeder.join()
    equal(sorted(done), list(range(150)))
    equal(r.lrange(key("doing"), 0, -1), ["end"] * 4)


took = {}
for part in (pipelines, watching, publishing, locking, scripting, scanning, caching, pooling, retrying, consuming, queueing):
    start = time.monotonic()
    part()
    took[part.__name__] = round(time.monotonic() - start, 2)
print(took, file=sys.stderr)
print("ok")
