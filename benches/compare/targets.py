"""The programs under comparison: their certificates, settings, processes and what they use.

Knows how each front is started and how much processor time and memory it has used.
Knows nothing of workloads or of the report.
"""

import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time

HOST = "127.0.0.1"
START_SECONDS = 20
STOP_SECONDS = 5
CORES = os.cpu_count() or 1
SMALL_KEY, SMALL_SIZE = "bench:small", 3
LARGE = {"bench:16k": 16 * 1024, "bench:1m": 1024 * 1024}
VALUES = {SMALL_KEY: SMALL_SIZE, **LARGE}

# The order is that of the report. The first is the base, the second what ratios refer to.
TITLES = {
    "direct": "direct, no TLS",
    "redis-tls": "Redis' own TLS",
    "respgate": "respgate",
    "haproxy": "HAProxy",
    "stunnel": "stunnel",
    "envoy-tcp": "Envoy TCP proxy",
    "envoy-redis": "Envoy redis_proxy",
}


class Broken(Exception):
    """A run whose figures would mean nothing; the text says why."""


_given = set()


def free_port():
    """A port that the kernel chose, that nobody listens on now and that was not given before."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
    raise Broken("the kernel has no free port left")


class Process:
    """A child in the foreground, its output in a log file, ended by its pid."""

    def __init__(self, name, argv, workdir):
        self.name = name
        self.log = workdir / f"{name}.log"
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=workdir,
            )

    def require_alive(self):
        """Raises Broken, with the end of the log, once the child has ended."""
        code = self.child.poll()
        if code is not None:
            raise Broken(f"{self.name} ended with status {code}: {self.log_tail()}")

    def log_tail(self):
        """The last few lines of output, on one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-5:]) or "it said nothing"

    def cpu_us(self):
        """Processor time of all threads so far, user and system, in microseconds."""
        self.require_alive()
        stat = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text()
        # The name may contain spaces; fields are counted from after its bracket.
        fields = stat.rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        """Resident memory, from the page tables: statm's counters lag by thread."""
        self.require_alive()
        for line in pathlib.Path(f"/proc/{self.child.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise Broken(f"{self.name}: no Rss line in smaps_rollup")

    def stop(self):
        """Asks the child to end, then insists."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Certificates:
    """A CA, one server certificate for every front and one client certificate, on P-256.

    `client_context` is what a client of ours connects with.
    """

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.server, self.server_key = folder / "server.crt", folder / "server.key"
        self.client, self.client_key = folder / "client.crt", folder / "client.key"
        # Without a file of our own, openssl adds its extensions to ours.
        (folder / "req.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        self._make("ca", "/CN=compare CA", ["basicConstraints=critical,CA:TRUE"], signed=False)
        self._make("server", "/CN=localhost", [
            f"subjectAltName=DNS:localhost,IP:{HOST}", "extendedKeyUsage=serverAuth"])
        self._make("client", "/CN=app", ["extendedKeyUsage=clientAuth"])
        self.server_bundle = folder / "server.pem"
        self.server_bundle.write_text(self.server.read_text() + self.server_key.read_text())
        self.server_bundle.chmod(0o600)
        self.client_context = ssl.create_default_context(cafile=self.ca)
        self.client_context.load_cert_chain(self.client, self.client_key)

    def _make(self, name, subject, extensions, signed=True):
        argv = ["openssl", "req", "-x509", "-config", "req.cnf", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-sha256", "-subj", subject,
                "-keyout", f"{name}.key", "-out", f"{name}.crt"]
        for extension in extensions:
            argv += ["-addext", extension]
        if signed:
            argv += ["-CA", "ca.crt", "-CAkey", "ca.key"]
        made = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=30)
        if made.returncode != 0:
            raise Broken(f"openssl made no {name} certificate: {made.stderr.strip()}")
        (self.folder / f"{name}.key").chmod(0o600)


@dataclasses.dataclass(frozen=True)
class Front:
    """One address to send load to. `process` is None where Redis itself is the TLS end."""

    name: str
    port: int
    tls: bool
    process: Process | None

    def cpu_us(self):
        """Processor time of the process, 0 without one."""
        return self.process.cpu_us() if self.process is not None else 0.0

    def rss_bytes(self):
        """Resident memory of the process, 0 without one."""
        return self.process.rss_bytes() if self.process is not None else 0


@dataclasses.dataclass(frozen=True)
class Redis:
    """A redis-server with a plain and a TLS port, and the values that GETs ask for."""

    process: Process
    port: int
    tls_port: int

    def info(self):
        """Every `name:value` line of INFO."""
        with socket.create_connection((HOST, self.port), START_SECONDS) as plain:
            text = ask(plain, "INFO", "everything").decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def ask(connection, *words):
    """Sends one command on a connected socket and returns its reply, at most one bulk deep."""
    request = b"*%d\r\n" % len(words)
    for word in words:
        raw = word if isinstance(word, bytes) else word.encode()
        request += b"$%d\r\n%s\r\n" % (len(raw), raw)
    connection.sendall(request)
    reader = connection.makefile("rb")
    line = reader.readline()
    if not line.endswith(b"\r\n"):
        raise Broken(f"{words[0]}: the connection closed before its reply")
    if line.startswith(b"-"):
        raise Broken(f"{words[0]}: {line.decode(errors='replace').strip()}")
    if not line.startswith(b"$"):
        return line[1:-2]
    size = int(line[1:])
    if size < 0:
        raise Broken(f"{words[0]} {words[1:]}: no such key")
    return reader.read(size + 2)[:-2]


class Lab:
    """A folder with certificates and settings, and the processes started from it."""

    def __init__(self, workdir, respgate_bin, envoy_bin, open_files):
        self.workdir = workdir
        self.respgate_bin = respgate_bin
        self.envoy_bin = envoy_bin
        # A proxy holds two descriptors for a client; some are left for its own use.
        self.clients_max = (open_files - 512) // 2
        self.certificates = Certificates(workdir / "certs")
        self.password = secrets.token_hex(16)
        (workdir / "app.password").write_text(self.password)
        (workdir / "app.password").chmod(0o600)
        self.processes = []
        # What each front agreed on with a client like redis-benchmark, for the report.
        self.negotiated = {}

    def start_redis(self):
        """A new, empty Redis, with the values for GET in it."""
        certs, port, tls_port = self.certificates, free_port(), free_port()
        conf = self.workdir / "redis.conf"
        conf.write_text(
            f"bind {HOST}\nport {port}\ntls-port {tls_port}\n"
            f"tls-cert-file {certs.server}\ntls-key-file {certs.server_key}\n"
            f"tls-ca-cert-file {certs.ca}\ntls-auth-clients yes\n"
            "tls-protocols TLSv1.3\ntls-session-caching no\n"
            f"save \"\"\nappendonly no\ntcp-backlog 4096\nmaxclients {self.clients_max * 2}\n"
            f"user app on >{self.password} ~* &* +@all\n")
        conf.chmod(0o600)
        process = self._start("redis", ["redis-server", conf])
        redis = Redis(process, port, tls_port)
        self._await(Front("redis", port, False, process), lambda link: ask(link, "PING"))
        with socket.create_connection((HOST, port), START_SECONDS) as plain:
            for key, size in VALUES.items():
                ask(plain, "SET", key, b"x" * size)
        return redis

    def start_front(self, name, redis):
        """Starts the front called `name` before `redis`, once it carries a GET and its reply."""
        if name == "direct":
            front = Front(name, redis.port, False, None)
        elif name == "redis-tls":
            front = Front(name, redis.tls_port, True, None)
        else:
            port = free_port()
            argv = getattr(self, "_" + name.replace("-", "_"))(port, redis)
            front = Front(name, port, True, self._start(name, argv))
        self._await(front, lambda link: ask(link, "GET", SMALL_KEY))
        for key, size in VALUES.items():
            with self.connect(front) as link:
                got = len(ask(link, "GET", key))
                if front.tls:
                    self.negotiated[name] = f"{link.version()} {link.cipher()[0]}"
            if got != size:
                raise Broken(f"{name}: GET {key} gave {got} bytes, expected {size}")
        return front

    def connect(self, front):
        """A connected client of `front`: a socket, or the TLS over it."""
        plain = socket.create_connection((HOST, front.port), START_SECONDS)
        if not front.tls:
            return plain
        try:
            return self.certificates.client_context.wrap_socket(plain, server_hostname=HOST)
        except OSError:
            plain.close()
            raise

    def stop(self, *chosen):
        """Ends the processes of these fronts and Redis servers."""
        for process in [one.process for one in chosen if one.process is not None]:
            process.stop()

    def stop_all(self):
        """Ends every process that was started."""
        for process in self.processes:
            process.stop()

    def _start(self, name, argv):
        if shutil.which(str(argv[0])) is None:
            raise Broken(f"{name}: no program {argv[0]}; benches/compare/run installs or builds it")
        process = Process(name, argv, self.workdir)
        self.processes.append(process)
        return process

    def _await(self, front, probe):
        deadline = time.monotonic() + START_SECONDS
        while True:
            if front.process is not None:
                front.process.require_alive()
            try:
                with self.connect(front) as link:
                    probe(link)
                return
            except (OSError, Broken) as cause:
                if time.monotonic() > deadline:
                    raise Broken(f"{front.name} not ready in {START_SECONDS} s: {cause}") from cause
                time.sleep(0.1)

    def _respgate(self, port, redis):
        certs, conf = self.certificates, self.workdir / "respgate.toml"
        conf.write_text(
            f'[listener]\naddress = "{HOST}:{port}"\ncertificate = "{certs.server}"\n'
            f'key = "{certs.server_key}"\nclient_ca = "{certs.ca}"\ntls_min_version = "1.3"\n'
            f'[database]\naddress = "{HOST}:{redis.port}"\n'
            '[[user]]\nname = "app"\nauth_method = "certificate"\n'
            'certificate_subject_line = "CN=app"\nredis_user = "app"\n'
            'redis_password_file = "app.password"\n'
            f'[admin]\naddress = "{HOST}:{free_port()}"\n'
            f"[limits]\nclients_max = {self.clients_max}\n"
            f"clients_per_user_max = {self.clients_max}\n")
        return [self.respgate_bin, "run", "--config", conf]

    def _haproxy(self, port, redis):
        certs, conf = self.certificates, self.workdir / "haproxy.cfg"
        conf.write_text(
            f"global\n nbthread {CORES}\n maxconn {self.clients_max}\n"
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
            f"frontend tls\n bind {HOST}:{port} backlog 4096 ssl crt {certs.server_bundle}"
            f" ca-file {certs.ca} verify required ssl-min-ver TLSv1.3 no-tls-tickets\n"
            " default_backend redis\n"
            f"backend redis\n server redis {HOST}:{redis.port}\n")
        return ["haproxy", "-db", "-f", conf]

    def _stunnel(self, port, redis):
        certs, conf = self.certificates, self.workdir / "stunnel.conf"
        conf.write_text(
            "foreground = yes\npid =\ndebug = err\nsocket = l:TCP_NODELAY=1\n"
            "socket = r:TCP_NODELAY=1\n[redis]\n"
            f"accept = {HOST}:{port}\nconnect = {HOST}:{redis.port}\n"
            f"cert = {certs.server}\nkey = {certs.server_key}\nCAfile = {certs.ca}\n"
            "verifyChain = yes\nrequireCert = yes\nsslVersionMin = TLSv1.3\n")
        return ["stunnel4", conf]

    def _envoy_tcp(self, port, redis):
        return self._envoy("envoy-tcp", port, redis, "tcp_proxy", "TcpProxy", {"cluster": "redis"})

    def _envoy_redis(self, port, redis):
        return self._envoy("envoy-redis", port, redis, "redis_proxy", "RedisProxy", {
            "settings": {"op_timeout": "10s"},
            "prefix_routes": {"catch_all_route": {"cluster": "redis"}}})

    def _envoy(self, name, port, redis, module, message, settings):
        api, certs = "type.googleapis.com/envoy.extensions", self.certificates
        address = lambda at: {"socket_address": {"address": HOST, "port_value": at}}
        plenty = {"max_connections": 100_000, "max_pending_requests": 100_000,
                  "max_requests": 100_000}
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
        conf = self.workdir / f"{name}.json"
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
        return [self.envoy_bin, "-c", conf, "--concurrency", CORES, "--disable-hot-restart",
                "-l", "error"]
