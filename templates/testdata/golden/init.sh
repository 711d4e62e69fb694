#!/bin/sh
# Written by zkctl; zkctl install overwrites changes made here.
### BEGIN INIT INFO
# Provides:          zkctl-zk1
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Should-Start:      $time $named
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: ZooKeeper server zk1 (zkctl)
# Description:       ZooKeeper server zk1 (zkctl)
### END INIT INFO
# chkconfig: 2345 80 20

BINARY=/usr/local/bin/zkctl
CONFIG=/etc/zkctl/zoo.cfg
LOG=/var/log/zkctl/zookeeper.log
RUN_AS=zookeeper

[ -x "$BINARY" ] || exit 5

# Runs zkctl server as the account the server belongs to.
zkctl_server() {
  log=
  case "$1" in start|restart) log=$LOG ;; esac
  ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -H -n)" 2>/dev/null
  if [ -z "$RUN_AS" ] || [ "$(id -un)" = "$RUN_AS" ]; then
    "$BINARY" server "$1" --config "$CONFIG" ${log:+--log-file "$log"}
  elif command -v runuser >/dev/null 2>&1; then
    runuser -u "$RUN_AS" -- "$BINARY" server "$1" --config "$CONFIG" ${log:+--log-file "$log"}
  else
    # su takes a shell line; the words travel as arguments, so that no letter in them means anything to it.
    su -s /bin/sh -c 'exec "$0" server "$1" --config "$2" ${3:+--log-file "$3"}' "$RUN_AS" "$BINARY" "$1" "$CONFIG" "$log"
  fi
}

case "$1" in
  start|stop|restart|status)
    zkctl_server "$1"
    ;;
  force-reload)
    zkctl_server restart
    ;;
  condrestart|try-restart)
    zkctl_server status >/dev/null 2>&1 || exit 0
    zkctl_server restart
    ;;
  *)
    echo "Usage: $0 {start|stop|restart|try-restart|force-reload|status}" >&2
    exit 2
    ;;
esac
