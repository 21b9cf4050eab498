#!/usr/bin/env bash
# Installs what the tests need besides Node and npm, on Debian and Ubuntu. Quick when all is there, and never fails the
# run: where something cannot be installed it says so, and the tests that need it say why they are skipped.
set -uo pipefail
cd "$(dirname "$0")" || exit 0

# Program and the Debian package that brings it.
needs=(
  openssl:openssl       # envelopes and certificates that the SDK did not make itself
  python3:python3       # the agent's own zipfile, XML and JSON readers
  busybox:busybox       # the launcher in a shell that is neither dash nor bash
  shellcheck:shellcheck # the launcher's text
  systemd-analyze:systemd # the text of systemd units
  unshare:util-linux    # the local VM as root
  mount:mount
  ip:iproute2           # the address of the instance metadata service, in a network namespace
  objdump:binutils      # which C library the programs need
  qemu-aarch64:qemu-user # the handlers for arm64
  debootstrap:debootstrap # the systems that VM Access is tried on
  ssh-keygen:openssh-client
  nft:nftables          # the firewalls that it opens
  iptables:iptables
  mkfs.ext4:e2fsprogs   # the disks that it checks
  strace:strace         # a kill at a chosen system call
  faketime:faketime     # a clock that jumps
  chromium:chromium     # the page of the local VM
)

missing=()
packages=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" > /dev/null 2>&1 && continue
  missing+=("${need%%:*}")
  packages+=("${need##*:}")
done
# Once on a machine, a minute. The tests of test/ make them again where this cannot; others are skipped then.
fetch() {
  bash systems/fetch-packages.sh > /dev/null || echo 'test/setup.sh: test/systems is skipped.' >&2 &
  for release in bullseye bookworm trixie; do
    bash vm-access/make-root.sh "$release" > /dev/null ||
      echo "test/setup.sh: tests of VM Access on $release are skipped." >&2 &
  done
  wait
  exit 0
}
[ "${#missing[@]}" -eq 0 ] && fetch

give_up() {
  echo "test/setup.sh: ${missing[*]} missing, and $1. Tests that need them are skipped or fail." >&2
  echo "test/setup.sh: to install them: apt-get install ${packages[*]}" >&2
  exit 0
}

command -v apt-get > /dev/null 2>&1 || give_up 'this system has no apt-get'
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2> /dev/null || give_up 'only root can install packages'
  as_root=(sudo -n)
fi

echo "test/setup.sh: installing ${packages[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 300
  apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2)
install=(install -y --no-install-recommends "${packages[@]}")
# A fresh system has no package lists yet; an older one may have stale ones.
log=$("${apt[@]}" "${install[@]}" 2>&1 < /dev/null) ||
  log=$("${apt[@]}" update 2>&1 < /dev/null && "${apt[@]}" "${install[@]}" 2>&1 < /dev/null) || {
  echo "$log" | tail -n 5 >&2
  give_up 'apt-get could not install them'
}
fetch
