"""A client that may be served without a quorum. Argument: host:port,..."""
import logging
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NotReadOnlyCallError
from kazoo.protocol.states import KeeperState

logging.basicConfig(level=logging.INFO, stream=sys.stderr)

zk = KazooClient(hosts=sys.argv[1], timeout=10, read_only=True, connection_retry={"max_tries": -1, "max_delay": 0.2},
                 command_retry={"max_tries": -1, "max_delay": 0.2})
writes = threading.Event()


def listen(state):
    if zk.client_state == KeeperState.CONNECTED:
        writes.set()


zk.add_listener(listen)
zk.start(timeout=60)
print("connected", zk.client_state, flush=True)
data, stat = zk.get("/ro")
print("get", data.decode(), stat.version, flush=True)
print("children", sorted(zk.get_children("/")), flush=True)
seen = threading.Event()
zk.get("/ro", watch=lambda event: seen.set())
try:
    zk.set("/ro", b"no")
    print("set without a quorum", flush=True)
except NotReadOnlyCallError:
    print("not in read-only mode", flush=True)
print("CUE failover", flush=True)
sys.stdin.readline()
assert writes.wait(60), "no quorum was found"
print("set", zk.retry(zk.set, "/ro", b"yes").version, flush=True)
assert seen.wait(60), "the watch is lost"
print("watched", flush=True)
zk.stop()
