"""redis-py's asyncio client through the gateway: redis_py_async.py PORT DIRECTORY USER REDIS_USER PROTOCOL"""

import asyncio
import sys

import redis.asyncio as redis

port, directory, user, redis_user, protocol = sys.argv[1:]
options = dict(
    host="localhost",
    port=int(port),
    ssl=True,
    ssl_certfile=f"{directory}/{user}.crt",
    ssl_keyfile=f"{directory}/{user}.key",
    ssl_ca_certs=f"{directory}/ca.crt",
    decode_responses=True,
    socket_timeout=20,
)
if protocol != "default":
    options["protocol"] = int(protocol)


async def main():
    r = redis.Redis(**options)
    assert await r.acl_whoami() == redis_user

    async def work(n):
        for i in range(20):
            assert await r.echo(f"{n}:{i}") == f"{n}:{i}"

    await asyncio.gather(*(work(n) for n in range(50)))

    # A task that is cancelled in the middle of a command must not leave its
    # reply to the next one (CVE-2023-28858).
    task = asyncio.create_task(r.blpop(["async:none"], timeout=5))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for i in range(20):
        assert await r.echo(str(i)) == str(i)

    async with r.pipeline(transaction=True) as pipe:
        assert await pipe.set("async:k", "v").get("async:k").execute() == [True, "v"]

    async with r.pubsub() as pubsub:
        await pubsub.subscribe("async:news")
        assert (await pubsub.get_message(timeout=10))["type"] == "subscribe"
        await r.publish("async:news", "hello")
        assert (await pubsub.get_message(timeout=10))["data"] == "hello"
    await r.aclose()


asyncio.run(main())
print("ok")
