#!/usr/bin/env python3
"""Invalidates entries of `#[redis_cached]` functions from another program, with nothing but Python.

    REDIS_URL=redis://localhost:6379 REDIS_KEY_PREFIX=shop python3 invalidate.py user:42 user:43

`REDIS_URL` and `REDIS_KEY_PREFIX` are what the service has (without TLS or Redis Cluster here: a client of your own
brings that). A key is what the attribute's `key = "..."` writes, without the prefix. With `--show` it only prints what it
would delete. Where it fails, an old value may still be answered: run it again.
"""

import os
import socket
import sys
from urllib.parse import unquote, urlsplit


def guard_keys(prefix, key):
    """What is to be deleted for a whole key (that begins with the prefix), in this order.

    The lease comes first: without it no body that runs now stores what it read before. Then the lock, behind which
    other processes wait, and the value.
    """
    return [beside(prefix, key, "%t"), beside(prefix, key, "%l"), key]


def beside(prefix, key, mark):
    """The name of a lease or a lock. It lies in the key's slot of a Redis Cluster, and begins with the prefix."""
    if "{" in key or "}" in key:
        # An attribute writes braces for a hash tag only.
        return key + mark
    head = prefix + ":" if prefix else ""
    return head + mark + ":{" + key + "}"


class Redis:
    """As much of a client as this needs."""

    def __init__(self, url):
        url = urlsplit(url)
        if url.scheme not in ("redis", "valkey"):
            raise SystemExit("REDIS_URL: this example speaks redis:// and valkey:// only")
        self.socket = socket.create_connection((url.hostname or "localhost", url.port or 6379), timeout=10)
        self.replies = self.socket.makefile("rb")
        greetings = []
        if url.password:
            names = [unquote(url.username)] if url.username else []
            greetings.append(["AUTH", *names, unquote(url.password)])
        if url.path.strip("/"):
            greetings.append(["SELECT", url.path.strip("/")])
        self.send(greetings)

    def send(self, commands):
        """Sends commands in one write, in this order, and returns the replies."""
        request = b""
        for command in commands:
            words = [word.encode() for word in command]
            request += b"*%d\r\n" % len(words)
            request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self.socket.sendall(request)
        return [self.reply() for _ in commands]

    def reply(self):
        """An integer or a status: these commands have no other reply."""
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise SystemExit("redis hung up; whether it deleted anything is not known")
        kind, text = line[:1], line[1:-2].decode()
        if kind not in (b":", b"+"):
            raise SystemExit(f"redis refused: {text}")
        return int(text) if kind == b":" else text


def main(arguments):
    prefix = os.environ.get("REDIS_KEY_PREFIX", "")
    keys = [argument for argument in arguments if argument != "--show"]
    if not keys:
        raise SystemExit(__doc__)
    whole = [f"{prefix}:{key}" if prefix else key for key in keys]
    doomed = [guard_keys(prefix, key) for key in whole]
    if "--show" in arguments:
        print("\n".join(name for names in doomed for name in names))
        return
    redis = Redis(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    for lease, lock, value in doomed:
        # One command a key, and the value's only after the lease's answer: while slots of a Redis Cluster move, one DEL
        # of several may be refused, and one that is redirected has not been executed yet.
        redis.send([["DEL", lease], ["DEL", lock]])
        redis.send([["DEL", value]])


if __name__ == "__main__":
    main(sys.argv[1:])
