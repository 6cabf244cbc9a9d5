"""redis-cli at a terminal: redis_cli_terminal.py PORT DIRECTORY USER REDIS_USER

Types into it as a person does, and reads what it shows: the hints it has from
COMMAND DOCS, the prompt in a transaction and in another database, a
subscription and a MONITOR that Ctrl-C ends.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

port, directory, user, redis_user = sys.argv[1:]
options = ["-h", "localhost", "-p", port, "--tls", "--cert", f"{directory}/{user}.crt",
           "--key", f"{directory}/{user}.key", "--cacert", f"{directory}/ca.crt"]
prompt = f"localhost:{port}"
escapes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    def __init__(self, *more):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Whoever started this in the background may have had it ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ.update(TERM="xterm", HOME=directory)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            os.environ.pop("REDISCLI_AUTH", None)
            os.execvp("redis-cli", ["redis-cli", *options, *more])
        self.seen = ""

    def shows(self, text, patience=20):
        """Waits until this is shown, after what was waited for before."""
        deadline = time.monotonic() + patience
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"not shown: {text!r}, but {self.seen!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    self.seen += escapes.sub("", os.read(self.fd, 65536).decode(errors="replace"))
                except OSError:
                    assert text in self.seen, f"it ended without {text!r}: {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def types(self, text):
        os.write(self.fd, text.encode())

    def enters(self, line, *answers, then=prompt + "> "):
        self.types(line + "\r")
        for answer in answers:
            self.shows(answer)
        self.shows(then)

    def ends(self):
        deadline = time.monotonic() + 20
        while (ended := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < deadline, "it does not end"
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
        return ended[1]


for protocol in ([], ["-3"]):
    t = Terminal(*protocol)
    t.shows(prompt + "> ")
    # The hint comes of COMMAND DOCS, which it asks for before the first prompt.
    t.types("set ")
    t.shows("key value")
    t.types("k v\r")
    t.shows("OK")
    t.shows(prompt + "> ")
    t.enters("GET k", '"v"')
    t.enters("GET", "wrong number of arguments")
    t.enters("ACL WHOAMI", f'"{redis_user}"')
    t.enters("2 INCR n", "(integer) ", "(integer) ")
    t.enters("HSET h f 1 g 2", "(integer) ")
    t.enters("HGETALL h", "f", "g")
    t.enters("help get", "since: 1.0.0")
    t.enters("MULTI", "OK", then=prompt + "(TX)> ")
    t.enters("INCR n", "QUEUED", then=prompt + "(TX)> ")
    t.enters("EXEC", "1) (integer) ")
    t.enters("MULTI", "OK", then=prompt + "(TX)> ")
    t.enters("DISCARD", "OK")
    t.enters("SELECT 3", "OK", then=prompt + "[3]> ")
    t.enters("GET k", "(nil)", then=prompt + "[3]> ")
    t.enters("RESET", "RESET")
    t.enters("GET k", '"v"')
    t.enters("CLIENT SETNAME me", "OK")
    t.enters("CLIENT GETNAME", "me")
    t.enters("EVAL 'return {1, ARGV[1]}' 0 a", "(integer) 1", '"a"')
    t.enters("DEL q", "(integer) ")
    t.enters("BLPOP q 0.1", "(nil)")
    t.enters("OBJECT HELP", "ENCODING")
    t.types("SUBSCRIBE news\r")
    t.shows("1) \"subscribe\"")
    t.shows("3) (integer) 1")
    other = Terminal()
    other.shows(prompt + "> ")
    other.enters("PUBLISH news hello", "(integer) 1")
    t.shows('"hello"')
    other.types("quit\r")
    assert other.ends() == 0, other.seen
    t.types("\x03")
    t.shows(prompt)
    t.enters("GET k", '"v"')
    t.types("quit\r")
    assert t.ends() == 0, t.seen

# What others do, as MONITOR shows it; a user without it is told so.
t = Terminal()
t.shows(prompt + "> ")
if user == "root":
    t.types("MONITOR\r")
    t.shows("OK")
    other = Terminal()
    other.shows(prompt + "> ")
    other.enters("SET seen by-monitor", "OK")
    t.shows('"SET" "seen" "by-monitor"')
    other.types("exit\r")
    assert other.ends() == 0, other.seen
    t.types("\x03")
    t.shows(prompt)
else:
    t.enters("MONITOR", "no permissions to run the 'monitor' command")
    t.enters("DEBUG SLEEP 0", "no permissions to run the 'debug' command")
t.enters("GET k", '"v"')
t.types("quit\r")
assert t.ends() == 0, t.seen

# Modes without an end, for as long as it takes.
other = Terminal()
other.shows(prompt + "> ")
t = Terminal("--stat", "-i", "0.1")
t.shows("keys       mem")
for _ in range(3):
    other.enters("INCR n", "(integer) ")
    assert "M " in t.shows("(+"), "no figures"
t.types("\x03")
t.ends()
for mode in (["--latency"], ["--latency-history", "-i", "0.2"]):
    t = Terminal(*mode)
    for _ in range(3):
        t.shows("min: ")
        samples = t.shows(" samples)").rpartition("(")[2]
        assert int(samples) > 0, samples
    t.types("\x03")
    t.ends()
other.types("quit\r")
assert other.ends() == 0, other.seen
print("ok")
