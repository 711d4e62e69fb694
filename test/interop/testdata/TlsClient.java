import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.HostProvider;
import org.apache.zookeeper.client.StaticHostProvider;
import org.apache.zookeeper.client.ZKClientConfig;

/**
 * Apache's own client over TLS. Arguments: host port, then for each client name=keyStore,trustStore; "-" is none. A client
 * that has tried three times to connect counts as refused.
 */
public class TlsClient {
    static final String PASSWORD = "changeit";

    /** Counts how often the client asks where to connect. */
    static class Counting implements HostProvider {
        final StaticHostProvider hosts;
        final AtomicInteger asked = new AtomicInteger();

        Counting(InetSocketAddress at) { hosts = new StaticHostProvider(Collections.singletonList(at)); }
        public int size() { return hosts.size(); }
        public InetSocketAddress next(long delay) { asked.incrementAndGet(); return hosts.next(Math.min(delay, 50)); }
        public void onConnected() { hosts.onConnected(); }
        public boolean updateServerList(java.util.Collection<InetSocketAddress> to, InetSocketAddress now) { return false; }
    }

    static void store(ZKClientConfig config, String key, String file) {
        config.setProperty(key + ".location", file);
        if (!file.endsWith(".pem")) {
            config.setProperty(key + ".password", PASSWORD);
        }
    }

    static void client(InetSocketAddress at, String name, String keyStore, String trustStore) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty("zookeeper.client.secure", "true");
        config.setProperty("zookeeper.clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty");
        if (!keyStore.equals("-")) {
            store(config, "zookeeper.ssl.keyStore", keyStore);
        }
        store(config, "zookeeper.ssl.trustStore", trustStore);
        CountDownLatch connected = new CountDownLatch(1);
        Counting hosts = new Counting(at);
        ZooKeeper zk = new ZooKeeper(at.getHostString() + ":" + at.getPort(), 20000, event -> {
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, false, hosts, config);
        try {
            while (!connected.await(20, TimeUnit.MILLISECONDS)) {
                if (hosts.asked.get() > 3) {
                    System.out.println(name + " -> refused");
                    return;
                }
            }
            byte[] data = new byte[400000]; // more than a record of TLS
            Arrays.fill(data, (byte) 'x');
            String path = zk.create("/" + name, data, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            System.out.println(name + " -> " + path + " " + zk.getData(path, false, null).length);
        } finally {
            zk.close(1000);
        }
    }

    public static void main(String[] args) throws Exception {
        InetSocketAddress at = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        for (int i = 2; i < args.length; i++) {
            String[] nameAndStores = args[i].split("=", 2);
            String[] stores = nameAndStores[1].split(",");
            client(at, nameAndStores[0], stores[0], stores[1]);
        }
        System.exit(0);
    }
}
