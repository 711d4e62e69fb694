import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** A client that may be served without a quorum. Argument: host:port,... */
public class JavaReadOnly {
    public static void main(String[] args) throws Exception {
        CountDownLatch reads = new CountDownLatch(1);
        CountDownLatch writes = new CountDownLatch(1);
        CountDownLatch seen = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(args[0], 10000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.ConnectedReadOnly) {
                reads.countDown();
            } else if (event.getState() == Watcher.Event.KeeperState.SyncConnected && event.getType() == Watcher.Event.EventType.None) {
                writes.countDown();
            }
        }, true);
        if (!reads.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        System.out.println("connected " + zk.getState());
        Stat stat = new Stat();
        System.out.println("get " + new String(zk.getData("/ro", event -> seen.countDown(), stat)) + " " + stat.getVersion());
        List<String> children = zk.getChildren("/", false);
        children.sort(null);
        System.out.println("children " + children);
        try {
            zk.setData("/ro", "no".getBytes(), -1);
            System.out.println("set without a quorum");
        } catch (KeeperException.NotReadOnlyException e) {
            System.out.println("not in read-only mode");
        }
        System.out.println("CUE failover");
        System.in.read();
        if (!writes.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no quorum was found");
        }
        while (true) {
            try {
                System.out.println("set " + zk.setData("/ro", "yes".getBytes(), -1).getVersion());
                break;
            } catch (KeeperException.ConnectionLossException e) {
                Thread.sleep(100);
            }
        }
        if (!seen.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the watch is lost");
        }
        System.out.println("watched");
        zk.close();
    }
}
