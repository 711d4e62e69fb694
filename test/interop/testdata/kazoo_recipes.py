"""kazoo's recipes, with two clients, before and after a move to other servers. Argument: host:port,..."""
import logging
import sys
import threading

from kazoo.client import KazooClient
from kazoo.recipe.cache import TreeCache, TreeEvent

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
servers = sys.argv[1]
PATIENCE = 60


def connect():
    zk = KazooClient(hosts=servers, timeout=10, connection_retry={"max_tries": -1, "max_delay": 0.2},
                     command_retry={"max_tries": -1, "max_delay": 0.2})
    zk.start(timeout=30)
    return zk


def say(what, *words):
    print(what, *words, flush=True)


def start(f, *args):
    thread = threading.Thread(target=f, args=args, daemon=True)
    thread.start()
    return thread


def finish(thread, what):
    thread.join(PATIENCE)
    if thread.is_alive():
        raise SystemExit("still waiting: " + what)


def await_(event, what):
    if not event.wait(PATIENCE):
        raise SystemExit("still waiting: " + what)


one, two = connect(), connect()


def lock(base):
    first, second = one.Lock(base, "one"), two.Lock(base, "two")
    first.acquire(timeout=PATIENCE)
    say("lock: second gets it at once:", second.acquire(blocking=False))
    waiter = start(lambda: second.acquire(timeout=PATIENCE))
    while len(first.contenders()) < 2:
        pass
    say("lock: contenders", first.contenders())
    first.release()
    finish(waiter, "lock")
    say("lock: second has it:", second.is_acquired)
    second.release()


def shared_lock(base):
    r1, r2, w = one.ReadLock(base), two.ReadLock(base), two.WriteLock(base)
    say("readers:", r1.acquire(timeout=PATIENCE), r2.acquire(timeout=PATIENCE))
    say("writer beside readers:", w.acquire(blocking=False))
    r1.release()
    r2.release()
    say("writer alone:", w.acquire(timeout=PATIENCE))
    w.release()


def semaphore(base):
    leases = [one.Semaphore(base, max_leases=2), two.Semaphore(base, max_leases=2), two.Semaphore(base, max_leases=2)]
    say("semaphore:", [s.acquire(blocking=False) for s in leases])
    leases[0].release()
    say("semaphore, after a release:", leases[2].acquire(timeout=PATIENCE))
    leases[1].release()
    leases[2].release()


def election(base):
    order, hold = [], threading.Event()
    leading = threading.Event()

    def lead(name, wait):
        order.append(name)
        leading.set()
        if wait:
            await_(hold, "election")

    e1, e2 = one.Election(base, "one"), two.Election(base, "two")
    first = start(lambda: e1.run(lead, "one", True))
    await_(leading, "first leader")
    second = start(lambda: e2.run(lead, "two", False))
    while len(e1.contenders()) < 2:
        pass
    hold.set()
    finish(first, "first leader")
    finish(second, "second leader")
    say("election: order", order)


def barrier(base):
    b1, b2 = one.Barrier(base), two.Barrier(base)
    b1.create()
    passed = threading.Event()
    waiter = start(lambda: b2.wait(PATIENCE) and passed.set())
    b1.remove()
    finish(waiter, "barrier")
    say("barrier: passed", passed.is_set())


def double_barrier(base):
    counts = []
    b1, b2 = one.DoubleBarrier(base, 2), two.DoubleBarrier(base, 2)

    def through(b):
        b.enter()
        counts.append(b.participating)
        b.leave()

    threads = [start(through, b1), start(through, b2)]
    for thread in threads:
        finish(thread, "double barrier")
    say("double barrier:", counts)


def queue(base):
    q1, q2 = one.Queue(base), two.Queue(base)
    q1.put(b"low", priority=200)
    q1.put(b"first")
    q1.put(b"second")
    say("queue:", len(q2), [q2.get() for _ in range(4)])
    l1, l2 = one.LockingQueue(base + "-locking"), two.LockingQueue(base + "-locking")
    l1.put_all([b"x", b"y"])
    say("locking queue:", l2.get(PATIENCE), l2.holds_lock(), l2.consume(), l1.get(PATIENCE), l1.consume(), len(l2))


def counter(base):
    def add(zk):
        c = zk.Counter(base)
        for _ in range(20):
            c += 1

    threads = [start(add, one), start(add, two)]
    for thread in threads:
        finish(thread, "counter")
    two.sync(base)
    say("counter:", two.Counter(base).value)


def party(base):
    p1, p2 = one.Party(base, "one"), two.Party(base, "two")
    p1.join()
    p2.join()
    one.sync(base)
    say("party:", sorted(p1), len(p1))
    p2.leave()
    one.sync(base)
    say("party, one left:", list(p1))
    p1.leave()


def watches(base):
    data, children = [], []
    made_seen, data_seen, children_seen = threading.Event(), threading.Event(), threading.Event()

    @one.DataWatch(base)
    def on_data(value, stat, event):
        data.append((value, event.type if event else None))
        if value == b"":
            made_seen.set()
        if value == b"end":
            data_seen.set()
            return False

    one.ensure_path(base)
    await_(made_seen, "DataWatch of the znode just made")  # it would miss one of two changes in a row

    @one.ChildrenWatch(base)
    def on_children(names):
        children.append(sorted(names))
        if len(names) == 2:
            children_seen.set()
            return False

    two.create(base + "/a", b"")
    two.create(base + "/b", b"")
    two.set(base, b"end")
    await_(data_seen, "DataWatch")
    await_(children_seen, "ChildrenWatch")
    say("data watch: first", data[0], "last", data[-1])
    say("children watch: last", children[-1])


def tree_cache(base):
    ready, got = threading.Event(), threading.Event()
    cache = TreeCache(one, base)
    two.ensure_path(base + "/x")

    def listen(event):
        if event.event_type == TreeEvent.INITIALIZED:
            ready.set()
        if event.event_data is not None and event.event_data.data == b"news":
            got.set()

    cache.listen(listen)
    cache.start()
    await_(ready, "tree cache")
    two.set(base + "/x", b"news")
    await_(got, "tree cache event")
    say("tree cache:", cache.get_data(base + "/x").data)
    cache.close()


def all_of_them(base):
    for recipe in (lock, shared_lock, semaphore, election, barrier, double_barrier, queue, counter, party, watches, tree_cache):
        recipe(base + "/" + recipe.__name__)


all_of_them("/before")
held = one.Lock("/held", "one")
held.acquire(timeout=PATIENCE)
party_one = one.Party("/party", "one")
party_one.join()
changed = threading.Event()


@one.DataWatch("/watched")
def on_watched(value, stat):
    if value == b"after":
        changed.set()


print("CUE failover", flush=True)
sys.stdin.readline()
two.retry(two.sync, "/")
say("lock held by another:", two.Lock("/held").acquire(blocking=False))
two.create("/watched", b"after")
await_(changed, "DataWatch across a move")
say("watch fired")
say("party:", list(two.Party("/party")))
held.release()
say("lock released:", two.Lock("/held").acquire(timeout=PATIENCE))
all_of_them("/after")
one.stop()
two.stop()
