"""Every target: what it is called, how it is started, and its settings in words.

Each peer is set up as its own documentation recommends for speed, within what all have in common:
TLS 1.3 only, client certificates required, no session resumption, TCP to Redis on the loopback
address. Knows nothing of workloads or of how anything is measured.
"""

import dataclasses
import json
import os
import re
import subprocess

from targets import CORES, HOST, MASTERS, VALUES, free_port

# What the gateway decides on, and the floor is told.
WORKERS = min(max(CORES - 1, 1), 8)

# The order is that of the report. The first is the base, the second what ratios refer to.
TITLES = {
    "direct": "direct, no TLS",
    "redis-tls": "Redis' own TLS",
    "respgate": "respgate",
    "floor": "the floor",
    "haproxy": "HAProxy",
    "stunnel": "stunnel",
    "hitch": "hitch",
    "envoy-tcp": "Envoy TCP proxy",
    "envoy-redis": "Envoy redis_proxy",
    "respgate-shared": "respgate, shared subscriptions",
    "respgate-node": "respgate, a node as a server",
    "respgate-cluster-1": "respgate, a cluster of one",
    "respgate-cluster": "respgate, a cluster of three",
}
SETTINGS = {
    "direct": "redis-server as the others have it behind them; no persistence. I/O threads are off: redis.conf"
              " advises them from four cores on, and says that they do not work with TLS",
    "redis-tls": "the same server's TLS port; tls-session-caching no",
    "respgate": f"defaults (workers: {WORKERS}), audit and metrics on; clients_max as high as the open files allow",
    "floor": f"the gateway's TLS stack and request scanner, as many threads ({WORKERS}), GET answered from memory",
    "haproxy": f"mode tcp, nbthread {CORES}, no-tls-tickets",
    "stunnel": "TCP_NODELAY both ways; a thread a client, which is its only way",
    "hitch": f"workers = {CORES}, backlog = 4096",
    "envoy-tcp": f"--concurrency {CORES}, tcp_proxy, circuit breakers out of the way",
    "envoy-redis": f"--concurrency {CORES}, redis_proxy with one catch-all route; its batching"
                   " (buffer_flush_timeout) is off, as by default",
    "respgate-shared": 'as respgate, with subscriptions = "shared"',
    "respgate-node": "as respgate, before the only master of a cluster as if it were a server",
    "respgate-cluster-1": "as respgate, before the same master as the cluster that it is",
    "respgate-cluster": "as respgate, before a cluster of three masters",
}
# Ways to run respgate that some workloads need.
VARIANTS = ("respgate-shared", *MASTERS)
# These hold a connection to Redis for each client.
PAIRED = ("haproxy", "stunnel", "hitch", "envoy-tcp")


@dataclasses.dataclass(frozen=True)
class Programs:
    """Where the programs are that no package puts into the PATH."""

    respgate: str
    ends: str
    envoy: str


def start(lab, programs, name, redis):
    """Starts the target called `name` before `redis`."""
    if name == "direct":
        return lab.start_front(name, None, redis, redis.port, tls=False)
    if name == "redis-tls":
        return lab.start_front(name, None, redis, redis.tls_port, tls=True)
    port = free_port()
    argv = _COMMANDS[name](lab, programs, port, redis)
    return lab.start_front(name, argv, None if name == "floor" else redis, port, tls=True)


def versions(programs, names):
    """What the programs behind these targets say of themselves."""
    commands = {"Redis": ["redis-server", "--version"], "OpenSSL": ["openssl", "version"]}
    known = {
        "respgate": ("respgate", [programs.respgate, "--version"]), "haproxy": ("HAProxy", ["haproxy", "-v"]),
        "stunnel": ("stunnel", ["stunnel4", "-version"]), "hitch": ("hitch", ["hitch", "--version"]),
        "envoy-tcp": ("Envoy", [programs.envoy, "--version"]), "envoy-redis": ("Envoy", [programs.envoy, "--version"]),
    }
    commands.update(known[name] for name in names if name in known)
    return {title: _version(argv) for title, argv in commands.items()}


def _version(argv):
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    # Envoy names its own path first, and that may have digits of its own.
    found = re.search(r"\d+\.\d+[\w.+-]*", (said.stdout + said.stderr).replace(argv[0], ""))
    return found.group() if found else "unknown"


def _respgate(lab, programs, port, redis):
    return _respgate_before(lab, programs, port, f'address = "{HOST}:{redis.port}"\n')


def _respgate_shared(lab, programs, port, redis):
    return _respgate_before(lab, programs, port, f'address = "{HOST}:{redis.port}"\nsubscriptions = "shared"\n')


def _respgate_cluster(lab, programs, port, redis):
    seeds = ", ".join(f'"{HOST}:{port}"' for port in redis.ports)
    return _respgate_before(
        lab, programs, port,
        f'cluster = {{ seeds = [{seeds}], redis_user = "app", redis_password_file = "app.password" }}\n')


def _respgate_before(lab, programs, port, database):
    certs, conf = lab.certificates, lab.workdir / f"respgate-{port}.toml"
    conf.write_text(
        f'[listener]\naddress = "{HOST}:{port}"\ncertificate = "{certs.server}"\n'
        f'key = "{certs.server_key}"\nclient_ca = "{certs.ca}"\ntls_min_version = "1.3"\n'
        f"[database]\n{database}"
        '[[user]]\nname = "app"\nauth_method = "certificate"\n'
        'certificate_subject_line = "CN=app"\nredis_user = "app"\n'
        'redis_password_file = "app.password"\n'
        f'[admin]\naddress = "{HOST}:{free_port()}"\n[audit]\nfile = "audit-{port}.log"\n'
        f"[limits]\nclients_max = {lab.clients_max * 2}\n"
        f"clients_per_user_max = {lab.clients_max * 2}\n")
    return [programs.respgate, "run", "--config", conf]


def _floor(lab, programs, port, _redis):
    values = ",".join(f"{key}={size}" for key, size in VALUES.items())
    return [programs.ends, "floor", "--port", port, "--certificates", lab.certificates.folder, "--workers", WORKERS,
            "--values", values]


def _haproxy(lab, _programs, port, redis):
    certs, conf = lab.certificates, lab.workdir / "haproxy.cfg"
    conf.write_text(
        f"global\n nbthread {CORES}\n maxconn {lab.clients_max}\n"
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
        f"frontend tls\n bind {HOST}:{port} backlog 4096 ssl crt {certs.server_bundle}"
        f" ca-file {certs.ca} verify required ssl-min-ver TLSv1.3 no-tls-tickets\n"
        " default_backend redis\n"
        f"backend redis\n server redis {HOST}:{redis.port}\n")
    return ["haproxy", "-db", "-f", conf]


def _stunnel(lab, _programs, port, redis):
    certs, conf = lab.certificates, lab.workdir / "stunnel.conf"
    conf.write_text(
        "foreground = yes\npid =\ndebug = err\nsocket = l:TCP_NODELAY=1\n"
        "socket = r:TCP_NODELAY=1\n[redis]\n"
        f"accept = {HOST}:{port}\nconnect = {HOST}:{redis.port}\n"
        f"cert = {certs.server}\nkey = {certs.server_key}\nCAfile = {certs.ca}\n"
        "verifyChain = yes\nrequireCert = yes\nsslVersionMin = TLSv1.3\n")
    return ["stunnel4", conf]


def _hitch(lab, _programs, port, redis):
    certs, conf = lab.certificates, lab.workdir / "hitch.conf"
    # Its workers refuse to be root.
    user = 'user = "nobody"\ngroup = "nogroup"\n' if os.geteuid() == 0 else ""
    conf.write_text(
        f'frontend = "[{HOST}]:{port}"\nbackend = "[{HOST}]:{redis.port}"\n'
        f'pem-file = "{certs.server_bundle}"\nclient-verify = required\nclient-verify-ca = "{certs.ca}"\n'
        f"tls-protos = TLSv1.3\nworkers = {CORES}\nbacklog = 4096\ndaemon = off\n"
        f"log-level = 1\n{user}")
    return ["hitch", f"--config={conf}"]


def _envoy_tcp(lab, programs, port, redis):
    return _envoy(lab, programs, "envoy-tcp", port, redis, "tcp_proxy", "TcpProxy", {"cluster": "redis"})


def _envoy_redis(lab, programs, port, redis):
    return _envoy(lab, programs, "envoy-redis", port, redis, "redis_proxy", "RedisProxy", {
        "settings": {"op_timeout": "10s"},
        "prefix_routes": {"catch_all_route": {"cluster": "redis"}}})


def _envoy(lab, programs, name, port, redis, module, message, settings):
    api, certs = "type.googleapis.com/envoy.extensions", lab.certificates
    address = lambda at: {"socket_address": {"address": HOST, "port_value": at}}
    plenty = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    tls = {
        "@type": f"{api}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                           "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": str(certs.server)},
                                  "private_key": {"filename": str(certs.server_key)}}],
            "validation_context": {"trusted_ca": {"filename": str(certs.ca)}}},
    }
    network_filter = {
        "name": module,
        "typed_config": {"@type": f"{api}.filters.network.{module}.v3.{message}",
                         "stat_prefix": "redis", **settings},
    }
    conf = lab.workdir / f"{name}.json"
    conf.write_text(json.dumps({"static_resources": {
        "listeners": [{
            "name": "tls", "address": address(port), "tcp_backlog_size": 4096,
            "filter_chains": [{
                "filters": [network_filter],
                "transport_socket": {"name": "tls", "typed_config": tls}}]}],
        "clusters": [{
            "name": "redis", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [plenty]},
            "load_assignment": {"cluster_name": "redis", "endpoints": [{
                "lb_endpoints": [{"endpoint": {"address": address(redis.port)}}]}]}}],
    }}))
    return [programs.envoy, "-c", conf, "--concurrency", CORES, "--disable-hot-restart", "-l", "error"]


_COMMANDS = {
    "respgate": _respgate, "respgate-shared": _respgate_shared, "respgate-node": _respgate,
    "respgate-cluster-1": _respgate_cluster, "respgate-cluster": _respgate_cluster,
    "floor": _floor, "haproxy": _haproxy, "stunnel": _stunnel, "hitch": _hitch,
    "envoy-tcp": _envoy_tcp, "envoy-redis": _envoy_redis,
}
