"""What programs build on redis-py with asyncio: redis_py_asyncio.py PORT DIRECTORY USER PROTOCOL NAME"""

import asyncio
import sys

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

port, directory, user, protocol, name = sys.argv[1:]
prefix = f"asyncio:{name}:{protocol}:"
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


def key(name):
    return prefix + name


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


async def pipelines(r):
    async def work(n):
        async with r.pipeline(transaction=bool(n % 2)) as pipe:
            for i in range(20):
                pipe.set(key(f"p{n}:{i}"), i).get(key(f"p{n}:{i}"))
            equal(await pipe.execute(), [x for i in range(20) for x in (True, str(i))])

    await asyncio.gather(*(work(n) for n in range(40)))
    await r.set(key("watched"), 0)

    async def increase():
        for _ in range(10):
            async def step(pipe):
                now = int(await pipe.get(key("watched")))
                pipe.multi()
                pipe.set(key("watched"), now + 1)
            await r.transaction(step, key("watched"))

    await asyncio.gather(*(increase() for _ in range(5)))
    equal(await r.get(key("watched")), "50")


async def publishing(r):
    heard = []

    async def listen(pubsub):
        mine = []
        async for message in pubsub.listen():
            if message["type"] in ("message", "pmessage"):
                mine.append(message["data"])
                if len(mine) == 100:
                    heard.append(mine)
                    return

    pubsubs = [r.pubsub() for _ in range(4)]
    for pubsub in pubsubs:
        await pubsub.subscribe(key("a"), key("b"))
        await pubsub.psubscribe(key("p*"))
    listeners = [asyncio.create_task(listen(pubsub)) for pubsub in pubsubs]
    while (await r.pubsub_numsub(key("b")))[0][1] < 4:
        await asyncio.sleep(0.01)
    for n in range(100):
        equal(await r.publish(key("ab"[n % 2] if n % 5 else "p.x"), n), 4)
    await asyncio.wait_for(asyncio.gather(*listeners), 60)
    equal(heard, [[str(n) for n in range(100)]] * 4)
    for pubsub in pubsubs:
        await pubsub.aclose()


async def locking(r):
    await r.set(key("guarded"), 0)

    async def work():
        for _ in range(5):
            async with r.lock(key("lock"), timeout=60, sleep=0.005):
                value = int(await r.get(key("guarded")))
                await asyncio.sleep(0.001)
                await r.set(key("guarded"), value + 1)

    await asyncio.gather(*(work() for _ in range(6)))
    equal(await r.get(key("guarded")), "30")


async def pooling(_):
    """Fifty tasks on ten connections; some are cancelled at any point, and nobody gets another's reply."""
    pool = redis.BlockingConnectionPool(max_connections=10, timeout=60, connection_class=redis.SSLConnection,
                                        **{k: v for k, v in options.items() if k != "ssl"})
    shared = redis.Redis(connection_pool=pool)

    async def work(n):
        for i in range(20):
            equal(await shared.echo(f"{n}:{i}"), f"{n}:{i}")

    tasks = [asyncio.create_task(work(n)) for n in range(50)]
    for n in range(0, 50, 7):
        await asyncio.sleep(0.01)
        tasks[n].cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError), result
    await work("last")
    await pool.disconnect()


async def waiting(r):
    popped = [asyncio.create_task(r.blpop([key(f"q{n}")], timeout=50)) for n in range(20)]
    await asyncio.sleep(0.05)
    for n in range(20):
        await r.rpush(key(f"q{n}"), n)
    equal([tuple(one) for one in await asyncio.gather(*popped)], [(key(f"q{n}"), str(n)) for n in range(20)])


async def scanning(r):
    names = {key(f"scan:{n}"): str(n) for n in range(500)}
    await r.mset(names)
    equal({one async for one in r.scan_iter(match=key("scan:*"), count=300)}, set(names))
    both = r.register_script("return {KEYS[1], ARGV[1]} -- " + prefix)
    equal(await asyncio.gather(*(both(["k"], [n]) for n in range(50))), [["k", str(n)] for n in range(50)])


async def main():
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.01), 3)
    r = redis.Redis(**options, health_check_interval=1, retry=retry)
    for part in (pipelines, publishing, locking, pooling, waiting, scanning):
        await asyncio.wait_for(part(r), 100)
    await r.aclose()


asyncio.run(main())
print("ok")
