"""Every operation kazoo has, then a move to other servers. Argument: host:port,..."""
import logging
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException
from kazoo.security import make_acl, make_digest_acl

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
servers = sys.argv[1]


def connect(**kw):
    zk = KazooClient(hosts=servers, timeout=10, connection_retry={"max_tries": -1, "max_delay": 0.2},
                     command_retry={"max_tries": -1, "max_delay": 0.2}, **kw)
    zk.start(timeout=30)
    return zk


def say(what, *words):
    print(what, *words, flush=True)


def attempt(what, f, *args, **kw):
    try:
        result = f(*args, **kw)
    except KazooException as e:
        say(what, "->", type(e).__name__)
        return None
    if hasattr(result, "version"):
        result = "stat " + stat(result)
    elif isinstance(result, tuple) and hasattr(result[1], "version"):
        result = "%r, stat %s" % (result[0], stat(result[1]))
    say(what, "->", result)
    return result


def stat(s):
    return "v%d c%d a%d len%d children%d ephemeral:%s" % (
        s.version, s.cversion, s.aversion, s.dataLength, s.numChildren, s.ephemeralOwner != 0)


zk = connect()
attempt("create", zk.create, "/a", b"one")
attempt("create again", zk.create, "/a", b"two")
attempt("create without parent", zk.create, "/x/y", b"")
attempt("create with parents", zk.create, "/x/y/z", b"", makepath=True)
attempt("create with stat", zk.create, "/s", b"123", include_data=True)
attempt("sequence", zk.create, "/a/q-", b"", sequence=True)
attempt("sequence", zk.create, "/a/q-", b"", sequence=True)
attempt("ephemeral sequence", zk.create, "/a/e-", b"", sequence=True, ephemeral=True)
attempt("below an ephemeral", zk.create, "/a/e-0000000002/x", b"")
attempt("get", zk.get, "/a")
attempt("get missing", zk.get, "/missing")
attempt("set", zk.set, "/a", b"three")
attempt("set version 1", zk.set, "/a", b"four", version=1)
attempt("set version 1 again", zk.set, "/a", b"five", version=1)
attempt("set empty", zk.set, "/s", b"")
attempt("get", zk.get, "/a")
attempt("exists", zk.exists, "/a")
attempt("exists missing", zk.exists, "/missing")
say("children", sorted(zk.get_children("/a")))
attempt("children of missing", zk.get_children, "/missing")
say("children with stat", stat(zk.get_children("/a", include_data=True)[1]))
attempt("delete with children", zk.delete, "/a")
attempt("delete wrong version", zk.delete, "/a/q-0000000000", version=7)
attempt("delete", zk.delete, "/a/q-0000000000", version=0)
attempt("delete missing", zk.delete, "/a/q-0000000000")
attempt("delete tree", zk.delete, "/x", recursive=True)
attempt("sync", zk.sync, "/a")
attempt("ensure path", zk.ensure_path, "/deep/er/path")

# Access.
acl = [make_digest_acl("user", "secret", all=True)]
attempt("create with digest acl", zk.create, "/locked", b"", acl=acl)
attempt("get locked", zk.get, "/locked")
attempt("set locked", zk.set, "/locked", b"")
attempt("acls of locked", zk.get_acls, "/locked")
attempt("delete locked from outside", zk.create, "/locked/x", b"")
owner = connect(auth_data=[("digest", "user:secret")])
owner.sync("/")  # its server may not have yet what another client wrote
attempt("owner gets", owner.get, "/locked")
say("owner's acls", [(a.perms, a.id.scheme, a.id.id) for a in owner.get_acls("/locked")[0]])
attempt("owner sets acls", owner.set_acls, "/locked", acl + [make_acl("world", "anyone", read=True)])
attempt("owner sets acls, wrong version", owner.set_acls, "/locked", acl, version=9)
zk.sync("/")
attempt("get now", zk.get, "/locked")
attempt("bad acl", zk.create, "/bad", b"", acl=[make_acl("nonsense", "x", all=True)])
owner.stop()

# Transactions.
t = zk.transaction()
t.create("/t", b"1")
t.set_data("/t", b"2")
t.check("/t", 1)
t.create("/t/seq-", b"", sequence=True)
t.delete("/s")
say("transaction", [r if isinstance(r, (str, bool)) else stat(r) for r in t.commit()])
t = zk.transaction()
t.create("/u", b"")
t.check("/t", 9)
t.delete("/t")
say("failed transaction", [type(r).__name__ for r in t.commit()])
say("not made", zk.exists("/u"))
say("empty transaction", zk.transaction().commit())

# Watches.
seen = []
fired = threading.Event()


def watcher(event):
    seen.append((event.type, event.path))
    fired.set()


def fire(what, path, f, *args):
    fired.clear()
    f(*args)
    if not fired.wait(30):
        raise SystemExit("no event of " + what + " at " + path)
    say("event of", what, seen.pop())


zk.get("/a", watch=watcher)
fire("set", "/a", zk.set, "/a", b"w")
zk.exists("/new", watch=watcher)
fire("create", "/new", zk.create, "/new", b"")
zk.get_children("/new", watch=watcher)
fire("child", "/new", zk.create, "/new/c", b"")
zk.get_children("/new/c", watch=watcher)
fire("delete of the parent watched", "/new/c", zk.delete, "/new/c")
zk.get("/new", watch=watcher)
fire("delete", "/new", zk.delete, "/new")

# Other servers: session and ephemerals are kept. (Watches are not: this client
# drops them itself when a connection breaks, and leaves it to its recipes to
# watch again.)
states = []
zk.add_listener(states.append)
session = zk.client_id[0]
other = connect()
print("CUE failover", flush=True)
sys.stdin.readline()
zk.retry(zk.sync, "/")
say("same session", zk.client_id[0] == session, "lost", KazooState.LOST in states)
say("ephemeral kept", zk.retry(zk.exists, "/a/e-0000000002").ephemeralOwner == session)
zk.get("/a", watch=watcher)
fire("set after the move", "/a", other.retry, other.set, "/a", b"moved")
say("read by another session", zk.retry(zk.get, "/a")[0])
zk.stop()
other.sync("/")
say("ephemeral gone with its session", other.exists("/a/e-0000000002") is None)
other.stop()
