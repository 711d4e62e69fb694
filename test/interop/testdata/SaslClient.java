import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;

/** Apache's own client with a login from a JAAS file, then a move to other servers. Argument: host:port,... */
public class SaslClient {
    interface Call {
        Object run() throws Exception;
    }

    static void attempt(String what, Call call) throws Exception {
        Object result;
        for (;;) {
            try {
                result = call.run();
                break;
            } catch (KeeperException.ConnectionLossException e) {
                Thread.sleep(50);
            } catch (KeeperException e) {
                result = e.code();
                break;
            }
        }
        System.out.println(what + " -> " + (result instanceof byte[] ? new String((byte[]) result) : result));
    }

    static ZooKeeper connect(String servers, boolean sasl) throws Exception {
        CountDownLatch ready = new CountDownLatch(1);
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ENABLE_CLIENT_SASL_KEY, Boolean.toString(sasl));
        ZooKeeper zk = new ZooKeeper(servers, 20000, event -> {
            if (event.getState() == (sasl ? KeeperState.SaslAuthenticated : KeeperState.SyncConnected)) {
                ready.countDown();
            }
        }, config);
        if (!ready.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not " + (sasl ? "authenticated" : "connected"));
        }
        return zk;
    }

    /** What other clients wrote may not have reached a client's server yet. */
    static void sync(ZooKeeper zk) throws Exception {
        int[] code = {KeeperException.Code.CONNECTIONLOSS.intValue()};
        while (code[0] == KeeperException.Code.CONNECTIONLOSS.intValue()) {
            CountDownLatch done = new CountDownLatch(1);
            zk.sync("/", (rc, path, ctx) -> {
                code[0] = rc;
                done.countDown();
            }, null);
            done.await();
            if (code[0] != 0) {
                Thread.sleep(50);
            }
        }
    }

    static List<String> who(ZooKeeper zk) throws Exception {
        List<String> out = new ArrayList<>();
        List<ClientInfo> all;
        while ((all = zk.whoAmI()) == null) { // so it says that it is not connected
            Thread.sleep(50);
        }
        for (ClientInfo i : all) {
            out.add(i.getAuthScheme() + " " + i.getUser());
        }
        return out;
    }

    public static void main(String[] args) throws Exception {
        ZooKeeper bob = connect(args[0], true);
        ZooKeeper eve = connect(args[0], false);
        List<ACL> bobs = Collections.singletonList(new ACL(31, new Id("sasl", "bob")));
        attempt("bob is", () -> who(bob));
        attempt("eve is", () -> who(eve));
        attempt("create", () -> bob.create("/bob", "mine".getBytes(), bobs, CreateMode.PERSISTENT));
        attempt("create with auth", () -> bob.create("/bob/auth", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        attempt("ACL", () -> bob.getACL("/bob/auth", null));
        attempt("bob reads", () -> bob.getData("/bob", false, null));
        sync(eve);
        attempt("eve reads", () -> eve.getData("/bob", false, null));
        attempt("eve lists", () -> eve.getChildren("/bob", false));
        attempt("eve deletes", () -> {
            eve.delete("/bob/auth", -1);
            return "done";
        });
        eve.addAuthInfo("digest", "eve:e".getBytes());
        bob.addAuthInfo("digest", "bob:b".getBytes());
        attempt("bob is", () -> who(bob));
        attempt("both of bob's", () -> bob.create("/both", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        attempt("ACL", () -> bob.getACL("/both", null));
        sync(eve);
        attempt("eve gets the ACL", () -> eve.getACL("/both", null));
        attempt("to eve as well", () -> bob.setACL("/bob", Arrays.asList(bobs.get(0), new ACL(1, new Id("digest", "eve:x"))), 0).getAversion());
        System.out.println("CUE failover");
        System.in.read();
        sync(bob);
        sync(eve);
        attempt("bob is", () -> who(bob));
        attempt("bob reads", () -> bob.getData("/bob", false, null));
        attempt("eve reads", () -> eve.getData("/bob", false, null));
        attempt("bob deletes", () -> {
            bob.delete("/bob/auth", -1);
            return "done";
        });
        bob.close();
        eve.close();
    }
}
