#!/usr/bin/env bash
# Makes the root file system of a Debian release with debootstrap, with sshd, sudo and firewalls in it, and prints its path:
# `make-root.sh bookworm`. It is kept in the user's cache folder, under a name of its own for every recipe, so that only the
# first run on a machine takes its time. Several at once take turns. Mounts nothing outside of its own namespace.
set -euo pipefail

release=$1
packages=openssh-server,sudo,iptables,nftables,procps,iproute2

case ${XDG_CACHE_HOME:-} in
  /*) cache=$XDG_CACHE_HOME/handlerkit ;;
  *) cache=$HOME/.cache/handlerkit ;;
esac
recipe=$(sha256sum < "${BASH_SOURCE[0]}")
target=$cache/roots/$release-${recipe:0:12}
if [ -d "$target" ]; then
  echo "$target"
  exit 0
fi

fail() {
  echo "the root file system of Debian $release cannot be made: $1" >&2
  exit 1
}
[ "$(id -u)" -eq 0 ] || fail 'it takes root'
for program in debootstrap apt-get unshare flock; do
  command -v "$program" > /dev/null || fail "this system has no $program"
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "there is no $keys"
unshare --mount true 2> /dev/null || fail 'it takes a mount namespace of its own'
# shellcheck disable=SC2016 # apt-get expands it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' | grep -m 1 '/debian/$') ||
  fail 'no source of apt is a mirror of Debian'
proxy=$(apt-config shell http_proxy Acquire::http::Proxy)
eval "$proxy"
[ -z "${http_proxy:-}" ] || export http_proxy

# Programs with set-user-ID are in there: for nobody else.
mkdir -p "$cache"
mkdir -m 700 "$cache/roots" 2> /dev/null || [ -d "$cache/roots" ] || fail "$cache/roots cannot be made"
exec 9> "$cache/roots/.$release.lock"
flock 9
if [ -d "$target" ]; then
  echo "$target"
  exit 0
fi
work=$(mktemp -d "$cache/roots/.$release.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/memory" "$work/root"

# dpkg waits for the disk after every file; in memory there is none to wait for. What no test reads is left out of the cache,
# and so is what debootstrap copied of this machine.
# shellcheck disable=SC2016 # the inner shell expands it
timeout --kill-after=10 600 unshare --mount --fork --kill-child bash -euo pipefail -c '
  work=$1 release=$2 mirror=$3 keys=$4 packages=$5
  mount -t tmpfs -o size=2g,mode=755 handlerkit "$work/memory"
  root=$work/memory/root
  debootstrap --variant=minbase --include="$packages" --keyring="$keys" "$release" "$root" "$mirror"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info} \
    "$root"/var/log/bootstrap.log "$root"/etc/{hostname,resolv.conf}
  cp -a "$root/." "$work/root"
' make-root "$work" "$release" "$mirror" "$keys" "$packages" > "$work/log" 2>&1 < /dev/null 9>&- ||
  fail "$(grep -v '^I: ' "$work/log" | tail -n 3 || true)"
mv -T "$work/root" "$target"
echo "$target"
