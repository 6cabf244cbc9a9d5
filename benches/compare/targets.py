"""The processes under comparison: how they start, what they use, and how to ask them something.

Knows what processor time and memory a process has used. Knows nothing of workloads, of the
report, or of any peer's settings: those are in `peers`.
"""

import contextlib
import dataclasses
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
SIZES = (16, 256, 4 << 10, 64 << 10, 1 << 20, 16 << 20)
VALUES = {SMALL_KEY: SMALL_SIZE, "bench:16k": 16 << 10, "bench:1m": 1 << 20,
          **{f"bench:{size}": size for size in SIZES}}
# What redis-benchmark makes of key:__rand_int__, for requests that go to all nodes of a cluster.
RANDOM_KEYS = 10_000
SLOTS = 16_384
# The targets with a cluster of so many masters behind them; those of as many have the same one.
MASTERS = {"respgate-node": 1, "respgate-cluster-1": 1, "respgate-cluster": 3}


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

    def __init__(self, name, argv, workdir, pipes=False):
        self.name = name
        self.log = workdir / f"{name}.log"
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen(
                [str(word) for word in argv], cwd=workdir, stderr=out, text=pipes,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else out)

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
        """Processor time of all threads and children so far, user and system, in microseconds."""
        self.require_alive()
        # Of a line of stat, counted from after the bracket of the name: utime and stime.
        ticks = sum(int(stat[11]) + int(stat[12]) for stat in self._family())
        return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        """Resident memory, from the page tables: statm's counters lag by thread."""
        self.require_alive()
        total = 0
        for stat in self._family():
            rollup = pathlib.Path(f"/proc/{stat[-1]}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Rss:"))
        return total

    def _family(self):
        """The child's and its own children's lines of stat, the pid appended: hitch works in those."""
        pids = [str(self.child.pid)]
        for task in pathlib.Path(f"/proc/{self.child.pid}/task").iterdir():
            # stunnel's threads end with their clients; one that has ended has no children.
            with contextlib.suppress(FileNotFoundError):
                pids += (task / "children").read_text().split()
        for pid in pids:
            # The name may contain spaces; fields are counted from after its bracket.
            yield [*pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split(), pid]

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
class Redis:
    """Redis with the values that are asked for: one server, or the masters of a cluster."""

    processes: tuple
    ports: tuple
    tls_port: int | None

    @property
    def port(self):
        """Of the first server."""
        return self.ports[0]

    def cpu_us(self):
        """Processor time of all servers."""
        return sum(process.cpu_us() for process in self.processes)

    def rss_bytes(self):
        """Resident memory of all servers."""
        return sum(process.rss_bytes() for process in self.processes)

    def counts(self, *names):
        """These numbers of INFO, each the sum over all servers."""
        sums = dict.fromkeys(names, 0)
        for port in self.ports:
            with socket.create_connection((HOST, port), START_SECONDS) as plain:
                lines = ask(plain, "INFO", "stats").decode().splitlines()
            info = dict(line.split(":", 1) for line in lines if ":" in line)
            for name in names:
                sums[name] += int(info[name])
        return sums


@dataclasses.dataclass(frozen=True)
class Front:
    """One address to send load to. `process` is None where Redis itself is the TLS end; `redis`
    is None where there is nothing behind it."""

    name: str
    port: int
    tls: bool
    process: Process | None
    redis: Redis | None

    def cpu_us(self):
        """Processor time of the process, 0 without one."""
        return self.process.cpu_us() if self.process is not None else 0.0

    def rss_bytes(self):
        """Resident memory of the process, 0 without one."""
        return self.process.rss_bytes() if self.process is not None else 0


def ask(connection, *words):
    """Sends one command on a connected socket and returns its reply, at most one bulk deep."""
    connection.sendall(_request(words))
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


def _request(words):
    request = b"*%d\r\n" % len(words)
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        request += b"$%d\r\n%s\r\n" % (len(raw), raw)
    return request


class Lab:
    """A folder with certificates and settings, and the processes started from it."""

    def __init__(self, workdir, open_files):
        self.workdir = workdir
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
        """A new Redis with a plain and a TLS port, and the values for GET in it."""
        port, tls_port = free_port(), free_port()
        redis = Redis((self._redis("redis", port, tls_port, ""),), (port,), tls_port)
        with socket.create_connection((HOST, port), START_SECONDS) as plain:
            self._fill(plain)
        return redis

    def start_cluster(self, masters):
        """A new cluster of so many masters. More than one are empty: they are filled through the gateway."""
        nodes = [(free_port(), free_port()) for _ in range(masters)]
        settings = "cluster-enabled yes\ncluster-config-file nodes-{0}.conf\ncluster-port {1}\n"
        processes = [self._redis(f"redis-{port}", port, None, settings.format(port, bus)) for port, bus in nodes]
        redis = Redis(tuple(processes), tuple(port for port, _ in nodes), None)
        for number, (port, bus) in enumerate(nodes):
            with socket.create_connection((HOST, port), START_SECONDS) as plain:
                first, end = (SLOTS * n // masters for n in (number, number + 1))
                ask(plain, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            with socket.create_connection((HOST, redis.port), START_SECONDS) as plain:
                if port != redis.port:
                    ask(plain, "CLUSTER", "MEET", HOST, port, bus)
        for port in redis.ports:
            self._await(Front("the cluster", port, False, None, redis), lambda link: _require_cluster(link, masters))
        if masters == 1:
            with socket.create_connection((HOST, redis.port), START_SECONDS) as plain:
                self._fill(plain)
        return redis

    def start_front(self, name, argv, redis, port, tls):
        """Starts the front, or only reaches it without an `argv`, and sees that it gives the values."""
        process = self.start(name, argv) if argv is not None else None
        front = Front(name, port, tls, process, redis)
        self._await(front, lambda link: ask(link, "PING"))
        if redis is not None and len(redis.ports) > 1:
            with self.connect(front) as link:
                self._fill(link)
        for key, size in VALUES.items():
            with self.connect(front) as link:
                got = len(ask(link, "GET", key))
                if tls:
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

    def start(self, name, argv, pipes=False):
        """Starts a program that ends with the lab."""
        if shutil.which(str(argv[0])) is None:
            raise Broken(f"{name}: no program {argv[0]}; benches/compare/run installs or builds it")
        process = Process(name, argv, self.workdir, pipes)
        self.processes.append(process)
        return process

    def stop(self, *processes):
        """Ends these processes."""
        for process in processes:
            if process is not None:
                process.stop()

    def stop_all(self):
        """Ends every process that was started, the last one first."""
        self.stop(*reversed(self.processes))

    def _redis(self, name, port, tls_port, more):
        certs, conf = self.certificates, self.workdir / f"{name}.conf"
        tls = (f"tls-port {tls_port}\ntls-cert-file {certs.server}\ntls-key-file {certs.server_key}\n"
               f"tls-ca-cert-file {certs.ca}\ntls-auth-clients yes\n"
               "tls-protocols TLSv1.3\ntls-session-caching no\n") if tls_port else ""
        conf.write_text(
            f"bind {HOST}\nport {port}\n{tls}{more}"
            f"save \"\"\nappendonly no\ntcp-backlog 4096\nmaxclients {self.clients_max * 2}\n"
            f"user app on >{self.password} ~* &* +@all\n")
        conf.chmod(0o600)
        process = self.start(name, ["redis-server", conf])
        self._await(Front(name, port, False, process, None), lambda link: ask(link, "PING"))
        return process

    def _fill(self, link):
        for key, size in VALUES.items():
            ask(link, "SET", key, b"x" * size)
        keys = [_request(("SET", f"key:{number:012}", b"x" * SMALL_SIZE)) for number in range(RANDOM_KEYS)]
        for start in range(0, RANDOM_KEYS, 500):
            burst = keys[start:start + 500]
            link.sendall(b"".join(burst))
            said = b""
            while len(said) < len(burst) * len(b"+OK\r\n"):
                piece = link.recv(1 << 16)
                if not piece:
                    raise Broken("the connection closed while Redis was filled")
                said += piece
            if said != b"+OK\r\n" * len(burst):
                raise Broken(f"Redis was not filled: {said[:80]!r}")

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


def _require_cluster(link, masters):
    info = ask(link, "CLUSTER", "INFO")
    if b"cluster_state:ok" not in info or b"cluster_known_nodes:%d" % masters not in info:
        raise Broken("the nodes do not know each other yet")
