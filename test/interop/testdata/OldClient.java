import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** What a client of 3.4 does, and a move to other servers. Argument: host:port,... */
public class OldClient {
    static class Events implements Watcher {
        final BlockingQueue<String> queue = new LinkedBlockingQueue<>();
        final CountDownLatch connected = new CountDownLatch(1);

        public void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                queue.add(event.getType() + " " + event.getPath());
            } else if (event.getState() == Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }
    }

    static final List<ACL> open = Ids.OPEN_ACL_UNSAFE;

    static ZooKeeper connect(String servers, Events events) throws Exception {
        ZooKeeper zk = new ZooKeeper(servers, 20000, events);
        if (!events.connected.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        return zk;
    }

    static void say(String what, Callable<Object> call) throws Exception {
        Object result;
        try {
            result = call.call();
        } catch (KeeperException e) {
            result = e.code();
        }
        System.out.println(what + ": " + text(result));
    }

    static String text(Object o) {
        if (o instanceof byte[]) {
            return new String((byte[]) o, StandardCharsets.UTF_8);
        }
        if (o instanceof Stat) {
            Stat s = (Stat) o;
            return "v" + s.getVersion() + " c" + s.getCversion() + " a" + s.getAversion() + " length " + s.getDataLength()
                + " children " + s.getNumChildren() + " ephemeral " + (s.getEphemeralOwner() != 0);
        }
        return String.valueOf(o);
    }

    static void sync(ZooKeeper zk) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        zk.sync("/", (rc, path, ctx) -> done.countDown(), null);
        done.await();
    }

    /** Calls again when the connection was lost meanwhile; for calls that may be made twice. */
    static Object again(Callable<Object> call) throws Exception {
        for (int i = 0;; i++) {
            try {
                return call.call();
            } catch (KeeperException.ConnectionLossException e) {
                if (i == 1000) {
                    throw e;
                }
                Thread.sleep(50);
            }
        }
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws Exception {
        String servers = args[args.length - 1];
        Events events = new Events();
        ZooKeeper zk = connect(servers, events);
        ZooKeeper other = connect(servers, new Events());
        znodes(zk, other);
        multi(zk);
        watches(zk, other, events);
        move(zk, other, events);
        chroot(servers);
        System.exit(0);
    }

    static void znodes(ZooKeeper zk, ZooKeeper other) throws Exception {
        say("create", () -> zk.create("/a", bytes("one"), open, CreateMode.PERSISTENT));
        say("create again", () -> zk.create("/a", null, open, CreateMode.PERSISTENT));
        say("without parent", () -> zk.create("/x/y", null, open, CreateMode.PERSISTENT));
        say("sequential", () -> zk.create("/a/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL));
        say("ephemeral", () -> zk.create("/a/e", new byte[0], open, CreateMode.EPHEMERAL));
        say("ephemeral sequential", () -> zk.create("/a/e-", null, open, CreateMode.EPHEMERAL_SEQUENTIAL));
        say("below an ephemeral", () -> zk.create("/a/e/x", null, open, CreateMode.PERSISTENT));
        say("exists", () -> zk.exists("/a", false));
        say("exists missing", () -> zk.exists("/missing", false));
        say("get", () -> zk.getData("/a", false, null));
        say("get null", () -> zk.getData("/a/e-0000000002", false, null));
        say("get empty", () -> zk.getData("/a/e", false, null).length);
        say("set", () -> zk.setData("/a", bytes("two"), 0));
        say("set, old version", () -> zk.setData("/a", bytes("three"), 0));
        Stat stat = new Stat();
        say("children", () -> new TreeSet<>(zk.getChildren("/a", false)));
        say("children and stat", () -> new TreeSet<>(zk.getChildren("/a", false, stat)) + " " + text(stat));
        say("delete with children", () -> { zk.delete("/a", -1); return null; });
        say("delete", () -> { zk.delete("/a/s-0000000000", 0); return null; });
        other.addAuthInfo("digest", bytes("user:secret"));
        say("create for the creator", () -> other.create("/locked", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        sync(zk);
        say("get of a stranger", () -> zk.getData("/locked", false, null));
        say("acl", () -> other.getACL("/locked", stat).toString().trim());
        say("set acl", () -> other.setACL("/locked", Ids.READ_ACL_UNSAFE, 0));
        say("large", () -> zk.create("/large", new byte[1000000], open, CreateMode.PERSISTENT));
        say("large again", () -> zk.getData("/large", false, null).length);
    }

    static void multi(ZooKeeper zk) throws Exception {
        say("multi", () -> zk.multi(Arrays.asList(Op.create("/m", bytes("1"), open, CreateMode.PERSISTENT.toFlag()),
            Op.setData("/m", bytes("2"), 0), Op.check("/m", 1), Op.create("/m/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL.toFlag()),
            Op.delete("/m/s-0000000000", -1))).size());
        say("multi that fails", () -> {
            try {
                return zk.multi(Arrays.asList(Op.setData("/m", bytes("3"), -1), Op.check("/m", 9), Op.delete("/m", -1)));
            } catch (KeeperException e) {
                StringBuilder codes = new StringBuilder(e.code().toString());
                for (OpResult r : e.getResults()) {
                    codes.append(' ').append(((OpResult.ErrorResult) r).getErr());
                }
                return codes;
            }
        });
        say("data as before", () -> zk.getData("/m", false, null));
    }

    static void watches(ZooKeeper zk, ZooKeeper other, Events events) throws Exception {
        zk.getData("/a", true, null);
        zk.getChildren("/a", true);
        zk.exists("/later", true);
        other.setData("/a", bytes("w"), -1);
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        other.create("/a/w", null, open, CreateMode.PERSISTENT);
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        other.create("/later", null, open, CreateMode.PERSISTENT);
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
    }

    static void move(ZooKeeper zk, ZooKeeper other, Events events) throws Exception {
        long session = zk.getSessionId();
        zk.getData("/a", true, null);
        zk.getChildren("/a", true);
        zk.exists("/after", true);
        System.out.println("CUE failover");
        System.in.read();
        Stat ephemeral = (Stat) again(() -> zk.exists("/a/e", false));
        System.out.println("same session: " + (zk.getSessionId() == session));
        System.out.println("ephemeral kept: " + (ephemeral != null && ephemeral.getEphemeralOwner() == session));
        System.out.println("events so far: " + events.queue);
        again(() -> other.setData("/a", bytes("moved"), -1));
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        again(() -> other.create("/a/moved", null, open, CreateMode.PERSISTENT));
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        again(() -> other.create("/after", null, open, CreateMode.PERSISTENT));
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        zk.close();
        sync(other);
        say("ephemeral gone with its session", () -> other.exists("/a/e", false));
        other.close();
    }

    static void chroot(String servers) throws Exception {
        Events events = new Events();
        ZooKeeper below = connect(servers + "/a", events);
        sync(below);
        below.exists("/c", true);
        say("below a chroot", () -> below.create("/c", null, open, CreateMode.PERSISTENT));
        say("event", () -> events.queue.poll(60, TimeUnit.SECONDS));
        say("children", () -> new TreeSet<>(below.getChildren("/", false)));
        below.close();
    }
}
