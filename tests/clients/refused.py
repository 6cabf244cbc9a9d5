"""redis-py with a certificate that is nobody's: refused.py PORT DIRECTORY USER

The application's first command has to fail with the gateway's own line.
"""

import sys

import redis

port, directory, user = sys.argv[1:]
for protocol in (2, 3):
    r = redis.Redis(
        host="localhost",
        port=int(port),
        ssl=True,
        ssl_certfile=f"{directory}/{user}.crt",
        ssl_keyfile=f"{directory}/{user}.key",
        ssl_ca_certs=f"{directory}/ca.crt",
        socket_timeout=20,
        protocol=protocol,
    )
    try:
        r.get("k")
        raise SystemExit("it was let in")
    except redis.RedisError as error:
        # The code of an error is its type here.
        said = f"{type(error).__name__}: {error}"
    assert said.startswith("NoPermissionError: no user is mapped to this certificate (reference "), said
print("ok")
