"""kazoo with SASL, then a move to other servers. Argument: host:port,..."""
import logging
import sys
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
servers = sys.argv[1]


def connect(user=None, password=None):
    sasl = {"mechanism": "DIGEST-MD5", "username": user, "password": password} if user else None
    zk = KazooClient(hosts=servers, timeout=10, connection_retry={"max_tries": -1, "max_delay": 0.2},
                     command_retry={"max_tries": -1, "max_delay": 0.2}, sasl_options=sasl)
    zk.start(timeout=30)
    return zk


def attempt(what, f, *args, **kw):
    client = getattr(f, "__self__", None)
    if client:  # its server may not have yet what another client wrote
        client.retry(client.sync, "/")
    try:
        result = f(*args, **kw)
    except KazooException as e:
        result = type(e).__name__
    if isinstance(result, tuple):
        result = result[0]
    print(what, "->", result, flush=True)


bob, eve, root = connect("bob", "bob's secret"), connect(), connect("root", "roots")
attempt("create", bob.create, "/bob", b"mine", acl=[make_acl("sasl", "bob", all=True)])
attempt("create with auth", bob.create, "/bob/auth", b"", acl=[make_acl("auth", "", read=True)])
attempt("ACLs", bob.get_acls, "/bob")
attempt("ACLs of auth", root.get_acls, "/bob/auth")
attempt("bob reads", bob.get, "/bob")
attempt("eve reads", eve.get, "/bob")
attempt("eve reads the ACL", eve.get_acls, "/bob")
attempt("root reads", root.get, "/bob")
attempt("bob writes what he may read", bob.set, "/bob/auth", b"")
attempt("eve owns", eve.create, "/eve", b"", acl=[make_acl("auth", "", all=True)])
eve.add_auth("digest", "eve:e")
attempt("eve owns", eve.create, "/eve", b"", acl=[make_acl("auth", "", all=True)])
attempt("a bad name", bob.create, "/bad", b"", acl=[make_acl("sasl", "a@b@c", all=True)])


def refused(zk):
    """Waits until the client that has connected is turned away."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            zk.exists("/")
        except KazooException:
            return True
        time.sleep(0.02)
    return False


try:
    print("a wrong password is refused:", refused(connect("bob", "wrong")), flush=True)
except (KazooException, KazooTimeoutError):  # at once, perhaps before start sees that it was connected
    print("a wrong password is refused: True", flush=True)

print("CUE failover", flush=True)
sys.stdin.readline()
attempt("bob reads", bob.get, "/bob")
attempt("eve reads", eve.get, "/bob")
attempt("eve reads hers", eve.get, "/eve")
attempt("root writes", lambda: root.set("/bob", b"roots") and "done")
attempt("bob reads", bob.get, "/bob")
for zk in (bob, eve, root):
    zk.stop()
