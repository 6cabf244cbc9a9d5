"""What a message costs that many clients listen to, with pinned and with shared subscriptions.

    python3 benches/compare/fan_out.py [--subscribers 1000] [--seconds 3] [--rounds 3] [--bytes 100]

needs redis-server, openssl and target/release/respgate. Messages are
published in bursts of 20, the next when every subscriber has the last one. The clients share the
machine with what is measured: look at processor time more than at the rate.
"""

import argparse
import pathlib
import resource
import selectors
import socket
import statistics
import tempfile
import time

import targets

BURST = 20


class Subscribers:
    """Clients of one channel, which count bytes: all messages are of one length."""

    def __init__(self, lab, front, count):
        self.links = []
        self.selector = selectors.DefaultSelector()
        for _ in range(count):
            link = lab.connect(front)
            link.sendall(b"SUBSCRIBE news\r\n")
            confirmation = b""
            while not confirmation.endswith(b":1\r\n"):
                confirmation += link.recv(1 << 10)
            link.setblocking(False)
            self.links.append(link)
            self.selector.register(link, selectors.EVENT_READ, len(self.links) - 1)

    def receive(self, size, deadline):
        """Reads until every client has had so many bytes more."""
        left = [size] * len(self.links)
        waiting = len(left)
        while waiting:
            if time.monotonic() > deadline:
                raise targets.Broken(f"{waiting} subscribers wait for messages")
            for key, _ in self.selector.select(1):
                while left[key.data]:
                    try:
                        got = key.fileobj.recv(1 << 16)
                    except (BlockingIOError, targets.ssl.SSLWantReadError):
                        break
                    if not got:
                        raise targets.Broken("a subscriber was closed")
                    left[key.data] -= len(got)
                    waiting -= left[key.data] == 0

    def close(self):
        for link in self.links:
            link.close()


def publish(link, request, count):
    """Publishes a burst and reads as many numbers."""
    link.sendall(request * count)
    answers = b""
    while answers.count(b"\n") < count:
        answers += link.recv(1 << 16)


def measure(lab, redis, args, subscriptions):
    """Deliveries a second, and the microseconds of each that the gateway and Redis take."""
    front = lab.start_front("respgate", redis)
    conf = lab.workdir / "respgate.toml"
    lab.stop(front)
    text = conf.read_text().replace("[database]\n", f'[database]\nsubscriptions = "{subscriptions}"\n')
    conf.write_text(text)
    process = lab._start("respgate", [lab.respgate_bin, "run", "--config", conf])
    front = targets.Front("respgate", front.port, True, process)
    lab._await(front, lambda link: targets.ask(link, "PING"))
    before = front.rss_bytes(), redis.process.rss_bytes()
    subscribers = Subscribers(lab, front, args.subscribers)
    payload = b"x" * args.bytes
    words = [b"PUBLISH", b"news", payload]
    request = b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    frame = len(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n" % len(payload)) + len(payload) + 2
    with socket.create_connection((targets.HOST, redis.port)) as publisher:
        connections = targets.ask(publisher, "CLIENT", "LIST", "TYPE", "pubsub").count(b"\n")
        publish(publisher, request, BURST)
        subscribers.receive(BURST * frame, time.monotonic() + 60)
        memory = front.rss_bytes() - before[0], redis.process.rss_bytes() - before[1]
        cpu = front.cpu_us(), redis.process.cpu_us()
        began, bursts = time.monotonic(), 0
        while time.monotonic() < began + args.seconds:
            publish(publisher, request, BURST)
            subscribers.receive(BURST * frame, time.monotonic() + 60)
            bursts += 1
        seconds = time.monotonic() - began
        deliveries = bursts * BURST * args.subscribers
        gateway, database = front.cpu_us() - cpu[0], redis.process.cpu_us() - cpu[1]
    subscribers.close()
    lab.stop(front)
    return {
        "deliveries/s": deliveries / seconds,
        "gateway us": gateway / deliveries,
        "redis us": database / deliveries,
        "gateway KiB/subscriber": memory[0] / 1024 / args.subscribers,
        "redis KiB/subscriber": memory[1] / 1024 / args.subscribers,
        "connections at redis": connections,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=100)
    project = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--respgate-bin", default=project / "target/release/respgate")
    args = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with tempfile.TemporaryDirectory(prefix="fan-out-") as folder:
        lab = targets.Lab(pathlib.Path(folder), args.respgate_bin, None, min(files, 20_000))
        results = {"pinned": [], "shared": []}
        try:
            for _ in range(args.rounds):
                for subscriptions, rounds in results.items():
                    redis = lab.start_redis()
                    rounds.append(measure(lab, redis, args, subscriptions))
                    lab.stop(redis)
        finally:
            lab.stop_all()
    print(f"{args.subscribers} subscribers, {args.bytes} bytes, {args.rounds} rounds of {args.seconds} s: median (lowest to highest)")
    for name in results["pinned"][0]:
        for subscriptions, rounds in results.items():
            values = sorted(one[name] for one in rounds)
            print(f"{name:24} {subscriptions:7} {statistics.median(values):12.2f} ({values[0]:.2f} to {values[-1]:.2f})")


if __name__ == "__main__":
    main()
