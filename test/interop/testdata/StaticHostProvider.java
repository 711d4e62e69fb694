package org.apache.zookeeper.client;

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;

/**
 * The servers of a client of 3.4, in the place of its own list of them, which takes addresses apart in a way that
 * Java 14 and newer broke: every address is unresolved to it.
 */
public final class StaticHostProvider implements HostProvider {
    private final List<InetSocketAddress> servers = new ArrayList<>();
    private int next;
    private int tried;

    public StaticHostProvider(Collection<InetSocketAddress> unresolved) {
        for (InetSocketAddress server : unresolved) {
            servers.add(new InetSocketAddress(server.getHostString(), server.getPort()));
        }
        Collections.shuffle(servers);
    }

    public int size() {
        return servers.size();
    }

    public InetSocketAddress next(long pause) {
        if (tried++ >= servers.size() && pause > 0) {
            try {
                Thread.sleep(pause);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        next = (next + 1) % servers.size();
        return servers.get(next);
    }

    public void onConnected() {
        tried = 0;
    }
}
