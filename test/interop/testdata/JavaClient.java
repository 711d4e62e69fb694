import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** Operations of Apache's own client, then a move to other servers. Argument: host:port,... */
public class JavaClient {
    interface Call {
        Object run() throws Exception;
    }

    /** Keeps events of znodes, and knows whether the client is connected. */
    static class Events implements Watcher {
        final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();
        final CountDownLatch connected = new CountDownLatch(1);
        volatile boolean expired;

        public void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                queue.add(event);
            } else if (event.getState() == Event.KeeperState.SyncConnected) {
                connected.countDown();
            } else if (event.getState() == Event.KeeperState.Expired) {
                expired = true;
            }
        }

        String next() throws InterruptedException {
            WatchedEvent event = queue.poll(60, TimeUnit.SECONDS);
            return event == null ? "no event" : event.getType() + " " + event.getPath();
        }
    }

    static String servers;

    static ZooKeeper connect(Events events) throws Exception {
        ZooKeeper zk = new ZooKeeper(servers, 20000, events);
        if (!events.connected.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        return zk;
    }

    static void say(String what, Call call) throws Exception {
        Object result;
        try {
            result = call.run();
        } catch (KeeperException e) {
            result = e.code();
        } catch (IllegalArgumentException e) {
            result = "illegal argument";
        }
        System.out.println(what + ": " + text(result));
    }

    /** Calls again when the connection was lost meanwhile; for calls that may be made twice. */
    static Object again(Call call) throws Exception {
        for (int i = 0;; i++) {
            try {
                return call.run();
            } catch (KeeperException.ConnectionLossException e) {
                if (i == 1000) {
                    throw e;
                }
                Thread.sleep(50);
            }
        }
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
        if (o instanceof List) {
            List<String> all = new ArrayList<>();
            for (Object part : (List<?>) o) {
                all.add(text(part).trim());
            }
            return all.toString();
        }
        if (o instanceof OpResult.CreateResult) {
            return "created " + ((OpResult.CreateResult) o).getPath();
        }
        if (o instanceof OpResult.SetDataResult) {
            return "set " + text(((OpResult.SetDataResult) o).getStat());
        }
        if (o instanceof OpResult.ErrorResult) {
            return "error " + ((OpResult.ErrorResult) o).getErr();
        }
        if (o instanceof OpResult.GetDataResult) {
            return "data " + text(((OpResult.GetDataResult) o).getData());
        }
        if (o instanceof OpResult.GetChildrenResult) {
            return "children " + sorted(((OpResult.GetChildrenResult) o).getChildren());
        }
        if (o instanceof OpResult) {
            return o.getClass().getSimpleName();
        }
        return String.valueOf(o);
    }

    static List<String> sorted(List<String> list) {
        List<String> copy = new ArrayList<>(list);
        Collections.sort(copy);
        return copy;
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws Exception {
        servers = args[args.length - 1];
        Events events = new Events();
        Events otherEvents = new Events();
        ZooKeeper zk = connect(events);
        ZooKeeper other = connect(otherEvents);
        znodes(zk);
        access(zk, other);
        multi(zk);
        watches(zk, other, events);
        move(zk, other, events);
        System.exit(0);
    }

    static void znodes(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        Stat stat = new Stat();
        say("create", () -> zk.create("/a", bytes("one"), open, CreateMode.PERSISTENT, stat));
        say("its stat", () -> stat);
        say("create again", () -> zk.create("/a", null, open, CreateMode.PERSISTENT));
        say("create without parent", () -> zk.create("/x/y", null, open, CreateMode.PERSISTENT));
        say("sequential", () -> zk.create("/a/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL));
        say("sequential", () -> zk.create("/a/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL));
        say("ephemeral", () -> zk.create("/a/e", null, open, CreateMode.EPHEMERAL));
        say("ephemeral sequential", () -> zk.create("/a/e-", null, open, CreateMode.EPHEMERAL_SEQUENTIAL));
        say("below an ephemeral", () -> zk.create("/a/e/x", null, open, CreateMode.PERSISTENT));
        say("container", () -> zk.create("/container", null, open, CreateMode.CONTAINER));
        say("TTL, not enabled", () -> zk.create("/ttl", null, open, CreateMode.PERSISTENT_WITH_TTL, null, 1000));
        say("get", () -> zk.getData("/a", false, stat));
        say("get missing", () -> zk.getData("/missing", false, null));
        say("get data without any", () -> zk.getData("/a/e", false, null));
        say("set", () -> zk.setData("/a", bytes("two"), 0));
        say("set, old version", () -> zk.setData("/a", bytes("three"), 0));
        say("exists", () -> zk.exists("/a", false));
        say("exists missing", () -> zk.exists("/missing", false));
        say("children", () -> sorted(zk.getChildren("/a", false)));
        say("children and stat", () -> sorted(zk.getChildren("/a", false, stat)) + text(stat));
        say("all children number", () -> zk.getAllChildrenNumber("/a"));
        say("ephemerals", () -> sorted(zk.getEphemerals()));
        say("ephemerals below", () -> sorted(zk.getEphemerals("/a/e-")));
        say("delete with children", () -> { zk.delete("/a", -1); return null; });
        say("delete, wrong version", () -> { zk.delete("/a/s-0000000000", 3); return null; });
        say("delete", () -> { zk.delete("/a/s-0000000000", 0); return null; });
        say("delete again", () -> { zk.delete("/a/s-0000000000", 0); return null; });
        say("reconfig is off", () -> zk.getConfig(false, stat).length >= 0);
    }

    static void access(ZooKeeper zk, ZooKeeper other) throws Exception {
        other.addAuthInfo("digest", bytes("user:secret"));
        say("create for the creator", () -> other.create("/locked", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        say("creator for nobody", () -> zk.create("/nobody", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        CountDownLatch synced = new CountDownLatch(1);
        zk.sync("/", (rc, path, ctx) -> {
            System.out.println("sync: " + rc + " " + path);
            synced.countDown();
        }, null);
        synced.await();
        say("get of a stranger", () -> zk.getData("/locked", false, null));
        say("set of a stranger", () -> zk.setData("/locked", null, -1));
        say("acl of a stranger", () -> zk.getACL("/locked", null));
        say("acl of the owner", () -> other.getACL("/locked", null));
        ACL readers = new ACL(Perms.READ, new Id("ip", "127.0.0.0/8"));
        say("set acl", () -> other.setACL("/locked", Arrays.asList(new ACL(Perms.ALL, new Id("auth", "")), readers), 0));
        say("set acl, old version", () -> other.setACL("/locked", Ids.OPEN_ACL_UNSAFE, 0));
        say("bad acl", () -> other.setACL("/locked", Arrays.asList(new ACL(Perms.READ, new Id("ip", "300.1.1.1"))), -1));
        CountDownLatch again = new CountDownLatch(1);
        zk.sync("/", (rc, path, ctx) -> again.countDown(), null);
        again.await();
        say("get by address", () -> zk.getData("/locked", false, null));
        say("who am I", () -> other.whoAmI().size());
    }

    static void multi(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        say("multi", () -> zk.multi(Arrays.asList(
            Op.create("/m", bytes("1"), open, CreateMode.PERSISTENT), Op.setData("/m", bytes("2"), 0), Op.check("/m", 1),
            Op.create("/m/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL), Op.delete("/container", -1))));
        say("failed multi", () -> {
            try {
                return zk.multi(Arrays.asList(Op.setData("/m", bytes("3"), -1), Op.check("/m", 9), Op.delete("/m", -1)));
            } catch (KeeperException e) {
                return e.code() + " " + text(e.getResults());
            }
        });
        say("data as before", () -> zk.getData("/m", false, null));
        say("multi of reads", () -> zk.multi(Arrays.asList(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/missing"))));
        say("empty multi", () -> zk.multi(new ArrayList<>()));
        zk.transaction().create("/t", null, open, CreateMode.PERSISTENT).delete("/t", 0).commit();
        say("created and deleted in one", () -> zk.exists("/t", false));
    }

    static void watches(ZooKeeper zk, ZooKeeper other, Events events) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        zk.getData("/a", true, null);
        zk.getChildren("/a", true);
        other.setData("/a", bytes("w"), -1);
        say("event", events::next);
        other.create("/a/w", null, open, CreateMode.PERSISTENT);
        say("event", events::next);
        zk.exists("/later", true);
        other.create("/later", null, open, CreateMode.PERSISTENT);
        say("event", events::next);
        zk.addWatch("/m", AddWatchMode.PERSISTENT_RECURSIVE);
        other.create("/m/r", null, open, CreateMode.PERSISTENT);
        other.setData("/m/r", bytes("x"), -1);
        other.delete("/m/r", -1);
        for (int i = 0; i < 3; i++) {
            say("recursive", events::next);
        }
        zk.removeAllWatches("/m", Watcher.WatcherType.Any, false);
        zk.addWatch("/later", AddWatchMode.PERSISTENT);
        other.setData("/later", null, -1);
        other.setData("/later", null, -1);
        for (int i = 0; i < 2; i++) {
            say("persistent", events::next);
        }
        say("remove a watch that is not there", () -> {
            zk.removeAllWatches("/none", Watcher.WatcherType.Any, false);
            return null;
        });
    }

    static void move(ZooKeeper zk, ZooKeeper other, Events events) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        long session = zk.getSessionId();
        events.queue.clear();
        zk.getData("/a", true, null);
        zk.getChildren("/a", true);
        zk.exists("/after", true);
        System.out.println("CUE failover");
        System.in.read();
        again(() -> zk.exists("/a/e", false));
        System.out.println("same session: " + (zk.getSessionId() == session) + ", expired: " + events.expired);
        System.out.println("ephemeral kept: " + (((Stat) again(() -> zk.exists("/a/e", false))).getEphemeralOwner() == session));
        System.out.println("events so far: " + events.queue);
        again(() -> other.setData("/a", bytes("moved"), -1));
        say("event", events::next);
        again(() -> other.create("/a/moved", null, open, CreateMode.PERSISTENT));
        say("event", events::next);
        again(() -> other.create("/after", null, open, CreateMode.PERSISTENT));
        say("event", events::next);
        again(() -> other.setData("/later", null, -1));
        say("persistent watch", events::next);
        say("the owner is still known", () -> other.setData("/locked", bytes("y"), -1));
        zk.close();
        CountDownLatch synced = new CountDownLatch(1);
        other.sync("/", (rc, path, ctx) -> synced.countDown(), null);
        synced.await();
        say("ephemeral gone with its session", () -> other.exists("/a/e", false));
        other.close();
    }
}
