import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/**
 * Curator's recipes between two clients, and what becomes of them when servers fail. Argument: host:port,...
 * A client that reads what the other one wrote asks its server to catch up first, or until it is there.
 */
public class CuratorClient {
    static final long PATIENCE = 60;
    static final ExecutorService threads = Executors.newCachedThreadPool();

    static CuratorFramework a;
    static CuratorFramework b;

    static CuratorFramework connect(String servers) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(servers).sessionTimeoutMs(20000)
            .connectionTimeoutMs(15000).retryPolicy(new RetryNTimes(600, 100)).build();
        client.start();
        client.blockUntilConnected();
        return client;
    }

    static void print(String what, Object result) {
        System.out.println(what + ": " + text(result));
    }

    static void say(String what, Callable<Object> call) throws Exception {
        try {
            print(what, call.call());
        } catch (KeeperException e) {
            print(what, e.code());
        }
    }

    /** Prints whether the condition comes true. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                print(what, "never");
                return;
            }
            Thread.sleep(10);
        }
        print(what, "yes");
    }

    /** Lets a client's server catch up with all that was done before. */
    static void sync(CuratorFramework client) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        client.sync().inBackground((c, event) -> done.countDown()).forPath("/");
        if (!done.await(PATIENCE, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no answer to sync");
        }
    }

    static Object waitFor(Future<?> future) throws Exception {
        return future.get(PATIENCE, TimeUnit.SECONDS);
    }

    static String text(Object o) {
        if (o instanceof byte[]) {
            return new String((byte[]) o, StandardCharsets.UTF_8);
        }
        if (o instanceof Stat) {
            Stat s = (Stat) o;
            return "v" + s.getVersion() + " c" + s.getCversion() + " children " + s.getNumChildren();
        }
        return String.valueOf(o);
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static <T extends Comparable<T>> List<T> sorted(Collection<T> all) {
        List<T> copy = new ArrayList<>(all);
        Collections.sort(copy);
        return copy;
    }

    static void set(CuratorFramework client, String path, String data) throws Exception {
        client.create().orSetData().creatingParentsIfNeeded().forPath(path, bytes(data));
    }

    public static void main(String[] args) throws Exception {
        String servers = args[args.length - 1];
        a = connect(servers);
        b = connect(servers);
        operations();
        transactions();
        mutexes();
        sharedLocks();
        leaders();
        barriers();
        counters();
        queue();
        caches();
        curatorCache();
        nodes();
        shortLived();
        discovery();
        failover();
        a.close();
        b.close();
        System.exit(0);
    }

    static void operations() throws Exception {
        say("create with parents", () -> a.create().creatingParentsIfNeeded().forPath("/ops/x/y", bytes("1")));
        say("create below containers", () -> a.create().creatingParentContainersIfNeeded().forPath("/boxes/x/y"));
        say("create again", () -> a.create().forPath("/ops/x/y"));
        say("create or set", () -> a.create().orSetData().forPath("/ops/x/y", bytes("2")));
        Stat stat = new Stat();
        say("get", () -> text(a.getData().storingStatIn(stat).forPath("/ops/x/y")) + " " + text(stat));
        say("set with version", () -> a.setData().withVersion(1).forPath("/ops/x/y", bytes("3")));
        say("set with old version", () -> a.setData().withVersion(1).forPath("/ops/x/y", bytes("4")));
        say("compressed", () -> a.create().compressed().forPath("/ops/gz", bytes("squeezed")));
        sync(b);
        say("decompressed", () -> b.getData().decompressed().forPath("/ops/gz"));
        say("protected", () -> {
            String path = a.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/ops/p-");
            return path.replaceAll("_c_[0-9a-f-]{36}-", "_c_ID-");
        });
        say("exists missing", () -> a.checkExists().forPath("/missing"));
        say("children", () -> sorted(a.getChildren().forPath("/ops/x")));
        CuratorFramework below = a.usingNamespace("space");
        say("in a namespace", () -> below.create().creatingParentsIfNeeded().forPath("/in/it", bytes("n")));
        say("as it is", () -> a.getData().forPath("/space/in/it"));
        BlockingQueue<String> answers = new LinkedBlockingQueue<>();
        for (int i = 0; i < 100; i++) {
            a.create().inBackground((c, event) -> answers.add(event.getType() + " " + event.getResultCode() + " " + event.getName()))
                .forPath("/ops/x/bg" + i);
        }
        for (int i = 0; i < 100; i++) {
            String answer = answers.poll(PATIENCE, TimeUnit.SECONDS);
            if (i % 33 == 0) {
                print("in background", answer);
            }
        }
        say("delete with children", () -> a.delete().guaranteed().deletingChildrenIfNeeded().forPath("/ops/x"));
        say("delete quietly", () -> a.delete().quietly().forPath("/ops/x"));
    }

    static void transactions() throws Exception {
        say("transaction", () -> results(a.transaction().forOperations(
            a.transactionOp().create().forPath("/t", bytes("1")),
            a.transactionOp().setData().withVersion(0).forPath("/t", bytes("2")),
            a.transactionOp().check().withVersion(1).forPath("/t"),
            a.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/t/s-"),
            a.transactionOp().create().forPath("/t/gone"),
            a.transactionOp().delete().forPath("/t/gone"))));
        say("transaction that fails", () -> {
            try {
                return results(a.transaction().forOperations(a.transactionOp().setData().forPath("/t", bytes("3")),
                    a.transactionOp().delete().withVersion(9).forPath("/t/s-0000000000"),
                    a.transactionOp().create().forPath("/t/never")));
            } catch (KeeperException e) {
                List<Object> codes = new ArrayList<>();
                e.getResults().forEach(r -> codes.add(((org.apache.zookeeper.OpResult.ErrorResult) r).getErr()));
                return e.code() + " " + codes;
            }
        });
        say("nothing of it was done", () -> text(a.getData().forPath("/t")) + sorted(a.getChildren().forPath("/t")));
    }

    static List<String> results(List<CuratorTransactionResult> all) {
        List<String> lines = new ArrayList<>();
        for (CuratorTransactionResult r : all) {
            lines.add(r.getType() + " " + r.getForPath() + " " + r.getResultPath()
                + (r.getResultStat() == null ? "" : " v" + r.getResultStat().getVersion()));
        }
        return lines;
    }

    static void mutexes() throws Exception {
        InterProcessMutex mine = new InterProcessMutex(a, "/locks/mutex");
        InterProcessMutex others = new InterProcessMutex(b, "/locks/mutex");
        mine.acquire();
        print("twice in a thread", mine.acquire(1, TimeUnit.SECONDS));
        print("held by another", others.acquire(200, TimeUnit.MILLISECONDS));
        Future<?> waiting = threads.submit(() -> {
            others.acquire();
            others.release();
            return "acquired";
        });
        until("both queue", () -> mine.getParticipantNodes().size() == 2);
        mine.release();
        print("released once, still mine", mine.isAcquiredInThisProcess());
        mine.release();
        print("the other one", waitFor(waiting));

        CountDownLatch asked = new CountDownLatch(1);
        mine.makeRevocable(lock -> asked.countDown());
        mine.acquire();
        sync(b);
        Revoker.attemptRevoke(b, mine.getParticipantNodes().iterator().next());
        print("asked to revoke", asked.await(PATIENCE, TimeUnit.SECONDS));
        mine.release();

        InterProcessSemaphoreMutex plain = new InterProcessSemaphoreMutex(a, "/locks/plain");
        plain.acquire();
        print("not twice in a thread", plain.acquire(200, TimeUnit.MILLISECONDS));
        plain.release();
        InterProcessMultiLock both = new InterProcessMultiLock(b, Arrays.asList("/locks/one", "/locks/mutex"));
        mine.acquire();
        print("all or none", both.acquire(200, TimeUnit.MILLISECONDS));
        mine.release();
        print("all", both.acquire(PATIENCE, TimeUnit.SECONDS));
        both.release();
    }

    static void sharedLocks() throws Exception {
        InterProcessReadWriteLock mine = new InterProcessReadWriteLock(a, "/locks/rw");
        InterProcessReadWriteLock others = new InterProcessReadWriteLock(b, "/locks/rw");
        mine.readLock().acquire();
        print("two readers", others.readLock().acquire(PATIENCE, TimeUnit.SECONDS));
        others.readLock().release();
        print("no writer beside a reader", others.writeLock().acquire(200, TimeUnit.MILLISECONDS));
        mine.readLock().release();
        print("a writer alone", others.writeLock().acquire(PATIENCE, TimeUnit.SECONDS));
        print("no reader beside a writer", mine.readLock().acquire(200, TimeUnit.MILLISECONDS));
        print("a writer may read", others.readLock().acquire(PATIENCE, TimeUnit.SECONDS));
        others.writeLock().release();
        print("a reader after it", mine.readLock().acquire(PATIENCE, TimeUnit.SECONDS));
        mine.readLock().release();
        others.readLock().release();

        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(a, "/locks/semaphore", 3);
        InterProcessSemaphoreV2 same = new InterProcessSemaphoreV2(b, "/locks/semaphore", 3);
        Collection<Lease> two = semaphore.acquire(2);
        Lease third = same.acquire(PATIENCE, TimeUnit.SECONDS);
        print("third of three", third != null);
        print("fourth of three", semaphore.acquire(200, TimeUnit.MILLISECONDS) != null);
        same.returnLease(third);
        print("again the third", semaphore.acquire(PATIENCE, TimeUnit.SECONDS) != null);
        semaphore.returnAll(two);
    }

    static void leaders() throws Exception {
        LeaderLatch first = new LeaderLatch(a, "/latch", "first");
        LeaderLatch second = new LeaderLatch(b, "/latch", "second");
        first.start();
        print("first leads", first.await(PATIENCE, TimeUnit.SECONDS));
        second.start();
        until("two candidates", () -> first.getParticipants().size() == 2);
        print("second leads", second.hasLeadership());
        print("known to the second", second.getLeader().getId());
        first.close();
        print("second leads after it", second.await(PATIENCE, TimeUnit.SECONDS));
        second.close();

        BlockingQueue<String> turns = new LinkedBlockingQueue<>();
        CountDownLatch enough = new CountDownLatch(6);
        List<LeaderSelector> selectors = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(a, b)) {
            String name = client == a ? "a" : "b";
            LeaderSelector s = new LeaderSelector(client, "/selector", new LeaderSelectorListenerAdapter() {
                public void takeLeadership(CuratorFramework c) {
                    turns.add(name);
                    enough.countDown();
                }
            });
            s.autoRequeue();
            selectors.add(s);
        }
        selectors.forEach(LeaderSelector::start);
        print("turns taken", enough.await(PATIENCE, TimeUnit.SECONDS));
        until("by both", () -> turns.contains("a") && turns.contains("b"));
        selectors.forEach(LeaderSelector::close);
    }

    static void barriers() throws Exception {
        DistributedBarrier barrier = new DistributedBarrier(a, "/barrier");
        barrier.setBarrier();
        sync(b);
        DistributedBarrier seen = new DistributedBarrier(b, "/barrier");
        print("barrier up", seen.waitOnBarrier(200, TimeUnit.MILLISECONDS));
        Future<Boolean> passed = threads.submit(() -> seen.waitOnBarrier(PATIENCE, TimeUnit.SECONDS));
        barrier.removeBarrier();
        print("barrier down", waitFor(passed));

        DistributedDoubleBarrier here = new DistributedDoubleBarrier(a, "/double", 2);
        DistributedDoubleBarrier there = new DistributedDoubleBarrier(b, "/double", 2);
        Future<Boolean> entered = threads.submit(() -> here.enter(PATIENCE, TimeUnit.SECONDS));
        print("entered", there.enter(PATIENCE, TimeUnit.SECONDS) + " " + waitFor(entered));
        Future<Boolean> left = threads.submit(() -> here.leave(PATIENCE, TimeUnit.SECONDS));
        print("left", there.leave(PATIENCE, TimeUnit.SECONDS) + " " + waitFor(left));
    }

    static void counters() throws Exception {
        SharedCount mine = new SharedCount(a, "/count", 7);
        mine.start();
        sync(b);
        SharedCount others = new SharedCount(b, "/count", 8);
        others.start();
        print("seed", others.getCount());
        mine.setCount(20);
        until("seen by the other", () -> others.getCount() == 20);
        print("set if unchanged", mine.trySetCount(mine.getVersionedValue(), 21));
        until("seen again", () -> others.getCount() == 21);
        mine.close();
        others.close();

        List<Future<?>> all = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(a, b, a, b)) {
            DistributedAtomicLong n = new DistributedAtomicLong(client, "/atomic", new RetryNTimes(1000, 3));
            all.add(threads.submit(() -> {
                for (int i = 0; i < 25; i++) {
                    AtomicValue<Long> value = n.increment();
                    if (!value.succeeded() || value.postValue() != value.preValue() + 1) {
                        return "lost";
                    }
                }
                return "done";
            }));
        }
        for (Future<?> f : all) {
            print("counting", waitFor(f));
        }
        sync(a);
        print("sum", new DistributedAtomicLong(a, "/atomic", new RetryNTimes(10, 10)).get().postValue());
    }

    static void queue() throws Exception {
        a.create().forPath("/queue"); // or it is a container, which goes whenever the queue is empty
        SimpleDistributedQueue in = new SimpleDistributedQueue(a, "/queue");
        SimpleDistributedQueue out = new SimpleDistributedQueue(b, "/queue");
        for (int i = 0; i < 5; i++) {
            in.offer(bytes("item " + i));
        }
        sync(b);
        print("peek", out.peek());
        for (int i = 0; i < 5; i++) {
            print("take", out.take());
        }
        Future<byte[]> waiting = threads.submit(() -> out.poll(PATIENCE, TimeUnit.SECONDS));
        in.offer(bytes("late"));
        print("waited for", waitFor(waiting));
        print("nothing left", out.poll(100, TimeUnit.MILLISECONDS));
    }

    @SuppressWarnings("deprecation") // programs use them all the same
    static void caches() throws Exception {
        set(b, "/cache/x", "1");
        sync(a);
        PathChildrenCache children = new PathChildrenCache(a, "/cache", true);
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        children.getListenable().addListener((c, e) -> events.add(e.getType() + " " + e.getData().getPath()));
        children.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        children.getCurrentData().forEach(child -> print("child", child.getPath() + " " + text(child.getData())));
        set(b, "/cache/y", "1");
        print("child", events.poll(PATIENCE, TimeUnit.SECONDS));
        set(b, "/cache/y", "2");
        print("child", events.poll(PATIENCE, TimeUnit.SECONDS));
        b.delete().forPath("/cache/y");
        print("child", events.poll(PATIENCE, TimeUnit.SECONDS));
        children.close();

        TreeCache tree = new TreeCache(a, "/cache");
        BlockingQueue<String> changes = new LinkedBlockingQueue<>();
        tree.getListenable().addListener((c, e) -> changes.add(e.getType() + (e.getData() == null ? "" : " " + e.getData().getPath())));
        tree.start();
        for (int i = 0; i < 3; i++) {
            print("tree", changes.poll(PATIENCE, TimeUnit.SECONDS));
        }
        set(b, "/cache/x/z", "1");
        print("tree", changes.poll(PATIENCE, TimeUnit.SECONDS));
        b.delete().deletingChildrenIfNeeded().forPath("/cache/x");
        for (TreeSet<String> two = new TreeSet<>();;) { // parent and child come in either order
            two.add(changes.poll(PATIENCE, TimeUnit.SECONDS));
            if (two.size() == 2) {
                print("tree", two);
                break;
            }
        }
        tree.close();

        NodeCache node = new NodeCache(a, "/cache/later");
        CountDownLatch changed = new CountDownLatch(1);
        node.getListenable().addListener(changed::countDown);
        node.start(true);
        print("no node", node.getCurrentData());
        set(b, "/cache/later", "here");
        print("node changed", changed.await(PATIENCE, TimeUnit.SECONDS));
        until("its data", () -> node.getCurrentData() != null && text(node.getCurrentData().getData()).equals("here"));
        node.close();
    }

    /** A cache on persistent, recursive watches. */
    static void curatorCache() throws Exception {
        for (String path : Arrays.asList("/cc", "/cc/a", "/cc/a/b")) {
            set(b, path, "1");
        }
        sync(a);
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        CuratorCache cache = CuratorCache.build(a, "/cc");
        CountDownLatch initialized = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(initialized::countDown).forAll((type, old, now) ->
            events.add(type + " " + (now == null ? old : now).getPath())).build());
        cache.start();
        print("initialized", initialized.await(PATIENCE, TimeUnit.SECONDS));
        print("znodes", cache.stream().map(ChildData::getPath).sorted().toArray().length);
        events.clear();
        set(b, "/cc/a/b/c", "1");
        print("cache", events.poll(PATIENCE, TimeUnit.SECONDS));
        set(b, "/cc/a/b/c", "2");
        print("cache", events.poll(PATIENCE, TimeUnit.SECONDS));
        b.delete().forPath("/cc/a/b/c");
        print("cache", events.poll(PATIENCE, TimeUnit.SECONDS));
        cache.close();

        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        PersistentWatcher watcher = new PersistentWatcher(a, "/cc", true);
        CountDownLatch set = new CountDownLatch(1);
        watcher.getListenable().addListener(e -> seen.add(e.getType() + " " + e.getPath()));
        watcher.getResetListenable().addListener(set::countDown);
        watcher.start();
        print("watching", set.await(PATIENCE, TimeUnit.SECONDS));
        b.transaction().forOperations(b.transactionOp().create().forPath("/cc/m"), b.transactionOp().setData().forPath("/cc/a"),
            b.transactionOp().delete().forPath("/cc/m"));
        for (int i = 0; i < 3; i++) {
            print("of a transaction", seen.poll(PATIENCE, TimeUnit.SECONDS));
        }
        watcher.close();
    }

    static void nodes() throws Exception {
        PersistentNode kept = new PersistentNode(a, CreateMode.EPHEMERAL, false, "/nodes/kept", bytes("mine"), true);
        kept.start();
        print("made", kept.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS));
        sync(b);
        long first = b.checkExists().forPath("/nodes/kept").getCzxid();
        b.delete().forPath("/nodes/kept");
        until("made again", () -> {
            Stat stat = b.checkExists().forPath("/nodes/kept");
            return stat != null && stat.getCzxid() > first && text(b.getData().forPath("/nodes/kept")).equals("mine");
        });
        kept.setData(bytes("changed"));
        until("new data", () -> text(b.getData().forPath("/nodes/kept")).equals("changed"));
        kept.close();
        sync(b);
        print("closed", b.checkExists().forPath("/nodes/kept"));

        GroupMember one = new GroupMember(a, "/group", "one", bytes("1"));
        GroupMember two = new GroupMember(b, "/group", "two", bytes("2"));
        one.start();
        two.start();
        until("both are members", () -> one.getCurrentMembers().size() == 2 && two.getCurrentMembers().size() == 2);
        TreeMap<String, String> members = new TreeMap<>();
        one.getCurrentMembers().forEach((id, data) -> members.put(id, text(data)));
        print("members", members);
        two.close();
        until("one is left", () -> one.getCurrentMembers().size() == 1);
        one.close();
    }

    /** Znodes that the server removes: containers and those with a time to live. */
    static void shortLived() throws Exception {
        a.create().withMode(CreateMode.CONTAINER).forPath("/vessel");
        a.create().forPath("/vessel/child");
        print("container", a.checkExists().forPath("/vessel"));
        a.delete().forPath("/vessel/child");
        until("empty, it goes", () -> a.checkExists().forPath("/vessel") == null);
        say("time to live", () -> a.create().withTtl(300).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/brief", bytes("x")));
        until("its time is over", () -> a.checkExists().forPath("/brief") == null);
        PersistentTtlNode renewed = new PersistentTtlNode(a, "/renewed", 1000, bytes("kept"));
        renewed.start();
        print("renewed", renewed.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS));
        until("kept in use", () -> a.checkExists().forPath("/renewed/" + PersistentTtlNode.DEFAULT_CHILD_NODE_NAME) != null);
        renewed.close();
        until("not renewed any more", () -> a.checkExists().forPath("/renewed") == null);
    }

    static void discovery() throws Exception {
        List<ServiceDiscovery<String>> all = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(a, b)) {
            ServiceInstance<String> self = ServiceInstance.<String>builder().name("shop").id(client == a ? "a" : "b")
                .address("192.0.2.1").port(client == a ? 1 : 2).payload("load").build();
            ServiceDiscovery<String> d = ServiceDiscoveryBuilder.builder(String.class).client(client).basePath("/services")
                .thisInstance(self).build();
            d.start();
            all.add(d);
        }
        sync(a);
        print("services", all.get(0).queryForNames());
        TreeSet<String> found = new TreeSet<>();
        all.get(0).queryForInstances("shop").forEach(i -> found.add(i.getId() + " " + i.getAddress() + ":" + i.getPort() + " " + i.getPayload()));
        print("instances", found);
        all.get(1).close();
        sync(a);
        print("one is left", all.get(0).queryForInstances("shop").size());
        all.get(0).close();
    }

    static void failover() throws Exception {
        InterProcessMutex mine = new InterProcessMutex(a, "/after/mutex");
        InterProcessMutex others = new InterProcessMutex(b, "/after/mutex");
        mine.acquire();
        Future<?> waiting = threads.submit(() -> {
            others.acquire();
            return "acquired";
        });
        until("both queue", () -> mine.getParticipantNodes().size() == 2);
        LeaderLatch first = new LeaderLatch(a, "/after/latch", "first");
        LeaderLatch second = new LeaderLatch(b, "/after/latch", "second");
        first.start();
        second.start();
        until("two candidates", () -> first.getParticipants().size() == 2);
        PersistentNode kept = new PersistentNode(a, CreateMode.EPHEMERAL, false, "/after/kept", bytes("mine"), true);
        kept.start();
        kept.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS);
        set(a, "/after/tree/x", "1");
        sync(b);
        CuratorCache cache = CuratorCache.build(b, "/after/tree");
        CountDownLatch initialized = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(initialized::countDown).build());
        cache.start();
        initialized.await(PATIENCE, TimeUnit.SECONDS);
        SharedCount count = new SharedCount(b, "/after/count", 1);
        count.start();
        long session = a.getZookeeperClient().getZooKeeper().getSessionId();
        long created = a.checkExists().forPath("/after/kept").getCzxid();

        System.out.println("CUE failover");
        System.in.read();
        sync(a);
        sync(b);
        print("same session", a.getZookeeperClient().getZooKeeper().getSessionId() == session);
        print("ephemeral kept", a.checkExists().forPath("/after/kept").getCzxid() == created);
        print("lock kept", mine.isAcquiredInThisProcess() + " " + waiting.isDone());
        mine.release();
        print("the other one", waitFor(waiting));
        until("one leads", () -> first.hasLeadership() != second.hasLeadership());
        set(a, "/after/tree/y", "2");
        set(a, "/after/tree/x", "3");
        until("cache follows", () -> cache.size() == 3 && text(cache.get("/after/tree/x").get().getData()).equals("3"));
        a.setData().forPath("/after/count", new byte[] {0, 0, 0, 9});
        until("count follows", () -> count.getCount() == 9);
        first.close();
        print("second leads", second.await(PATIENCE, TimeUnit.SECONDS));
        second.close();
        cache.close();
        count.close();
        kept.close();
        sync(b);
        print("ephemeral gone", b.checkExists().forPath("/after/kept"));
    }
}
