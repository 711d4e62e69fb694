"""kazoo over TLS. Arguments: host:port, then for each client name=key,certificate,authority; "-" is none."""
import logging
import sys

from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
address = sys.argv[1]
for arg in sys.argv[2:]:
    name, files = arg.split("=", 1)
    key, cert, ca = (None if f == "-" else f for f in files.split(","))
    zk = KazooClient(hosts=address, timeout=10, use_ssl=True, keyfile=key, certfile=cert, ca=ca,
                     connection_retry={"max_tries": -1, "max_delay": 0.2})
    try:
        zk.start(timeout=60 if name.startswith("good") else 4)
    except KazooTimeoutError:
        print(name, "-> refused", flush=True)
        continue
    path = zk.create("/" + name, b"x" * 400000, ephemeral=True)  # more than a record of TLS
    print(name, "->", path, len(zk.get(path)[0]), flush=True)
    zk.stop()
    zk.close()
