"""Celery through the gateway: celery_run.py PORT DIRECTORY USER

Starts a worker with four processes, gives it work of every kind, checks all
results, and stops it as a service manager would.
"""

import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlencode

port, directory, user = sys.argv[1:]
os.environ["GATEWAY"] = f"localhost:{port}"
os.environ["GATEWAY_TLS"] = urlencode(
    {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": f"{directory}/ca.crt",
        "ssl_certfile": f"{directory}/{user}.crt",
        "ssl_keyfile": f"{directory}/{user}.key",
    }
)
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

from celery import chain, chord, group
from celery_app import add, app, fails, tells, third_time, total


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


start = time.monotonic()


def passed(what):
    print(f"{time.monotonic() - start:.1f} s: {what}", file=sys.stderr)


def until(what, holds):
    deadline = time.monotonic() + 80
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


log = open("celery.log", "w+")
environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ["PYTHONPATH"]])}
command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "4", "-l", "INFO", "-n", "w1@%h"]
worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
try:
    # Over the pub/sub of its control channel.
    pong = until("no worker answers", lambda: app.control.inspect(timeout=5, limit=1).ping())
    (name,) = pong
    equal(pong[name], {"ok": "pong"})

    passed("worker up")
    results = [add.delay(n, n) for n in range(200)]
    equal([result.get(timeout=60) for result in results], [2 * n for n in range(200)])
    equal(group(add.s(n, 1) for n in range(50))().get(timeout=60), [n + 1 for n in range(50)])
    for size in (1, 10, 40):
        equal(chord((add.s(n, n) for n in range(size)), total.s())().get(timeout=60), size * (size - 1))
    equal(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=60), 10)
    chords = [chord([add.s(i, n) for n in range(5)], total.s())() for i in range(10)]
    equal([one.get(timeout=60) for one in chords], [5 * i + 10 for i in range(10)])

    passed("results")
    failed = fails.delay()
    try:
        failed.get(timeout=60)
        raise SystemExit("a task that fails did not")
    except ValueError as error:
        equal(str(error), "as asked")
    equal(failed.state, "FAILURE")
    equal(third_time.delay().get(timeout=60), 2)
    equal(add.apply_async((4, 4), countdown=1).get(timeout=60), 8)
    equal(len(tells.delay().get(timeout=60)), 2 << 20)

    passed("failures")
    # Revoked before its time: it never runs.
    revoked = add.apply_async((1, 1), countdown=3600)
    until("the task does not arrive", lambda: any(app.control.inspect(timeout=5, limit=1).scheduled()[name]))
    revoked.revoke()
    until("it is not revoked", lambda: revoked.id in app.control.inspect(timeout=5, limit=1).revoked()[name])
    equal([queue["name"] for queue in app.control.inspect(timeout=5, limit=1).active_queues()[name]], ["celery"])
    assert app.control.inspect(timeout=5, limit=1).stats()[name]["broker"]["port"] == int(port)
    passed("revoked")
finally:
    worker.send_signal(signal.SIGTERM)
    status = worker.wait(40)
    log.seek(0)
    said = log.read()
    trouble = [line for line in said.splitlines() if "ERROR" in line or "CRITICAL" in line or "lost" in line.lower()]
    trouble = [line for line in trouble if "celery_app.fails" not in line]
    if status or trouble:
        print(said, file=sys.stderr)
passed("stopped")
equal((status, trouble), (0, []))
print("ok")
