#!/usr/bin/env bash
# Installs the Debian packages that the tests use beside Go, when run as root;
# otherwise says which are missing and which tests are skipped for want of them.
set -u
packages=(
  # end to end: hosts in network namespaces with sshd, systemd and cron
  iproute2 openssh-server openssh-client sudo systemd systemd-container cron util-linux e2fsprogs iputils-ping procps
  # real clients and Apache ZooKeeper beside ours
  javac:default-jdk-headless zookeeper libzookeeper-java python3-kazoo python3-pure-sasl libzookeeper-mt-dev gcc:gcc libc6-dev
  libcurator-recipes-java libcurator-discovery-java
  # completions
  zsh:zsh fish:fish
)
# A name like javac:default-jdk-headless asks for a command first.
missing=()
for p in "${packages[@]}"; do
  case $p in *:*) command -v "${p%%:*}" >/dev/null && continue; p=${p##*:} ;; esac
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "test-deps: not a Debian machine; tests that need one of these are skipped: ${missing[*]}" >&2
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "test-deps: not root, so these are not installed: ${missing[*]}" >&2
  echo "test-deps: the end-to-end tests, and the tests with clients and servers that are missing, are skipped." >&2
  echo "test-deps: to run them all: sudo apt-get install ${missing[*]}, then sudo make test" >&2
  exit 0
fi
# No daemon may start on this machine because of the tests.
made=
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && made=1
fi
trap '[ -z "$made" ] || rm -f /usr/sbin/policy-rc.d' EXIT
echo "test-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "test-deps: apt-get failed (all of it: $log); tests that need what is missing are skipped" >&2
  exit 0
fi
rm -f "$log"
