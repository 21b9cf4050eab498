#!/usr/bin/env bash
# Fetches what the file systems of the tests are made of: the C library and busybox of Debian 11 for both architectures,
# the library of C++ that Node needs for arm64, and musl. Installs nothing: the packages are unpacked into the user's cache folder, once, and its path is printed. They
# come from where this machine's own packages come from, checked by apt, through lists of our own.
set -euo pipefail

release=bullseye
packages=(libc6:amd64 busybox:amd64 libc6:arm64 busybox:arm64 busybox-static:amd64 musl:amd64
  libgcc-s1:arm64 libstdc++6:arm64)

case ${XDG_CACHE_HOME:-} in
  /*) cache=$XDG_CACHE_HOME/handlerkit ;;
  *) cache=$HOME/.cache/handlerkit ;;
esac
# Another list is another folder.
list=$(cksum <<< "${packages[*]}")
target=$cache/systems-$release-${list%% *}
if [ -d "$target" ]; then
  echo "$target"
  exit 0
fi

fail() {
  echo "Debian's packages cannot be had: $1" >&2
  exit 1
}
for program in apt-get dpkg-deb; do
  command -v "$program" > /dev/null || fail "this system has no $program"
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "there is no $keys"
# shellcheck disable=SC2016 # apt-get expands it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' | grep -m 1 '/debian/$') ||
  fail 'no source of apt is a mirror of Debian'

mkdir -p "$cache"
work=$(mktemp -d "$cache/.systems.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/unpacked"
echo "deb [signed-by=$keys] $mirror $release main" > "$work/sources.list"
cat > "$work/apt.conf" << CONF
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::Cache "$work/cache";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
export APT_CONFIG=$work/apt.conf
log=$(timeout 120 apt-get -qq update 2>&1 < /dev/null) || fail "apt-get update: $(tail -n 1 <<< "$log")"
cd "$work/debs"
log=$(timeout 120 apt-get -qq download "${packages[@]/%//$release}" 2>&1 < /dev/null) ||
  fail "apt-get download: $(tail -n 1 <<< "$log")"
for package in "${packages[@]}"; do
  # libc6_2.31-13_amd64.deb
  for file in "${package%:*}"_*_"${package#*:}".deb; do
    dpkg-deb --extract "$file" "$work/unpacked/${package%:*}-${package#*:}"
  done
done
# Whoever comes first wins; another run may have been as quick.
mv -T "$work/unpacked" "$target" 2> /dev/null || [ -d "$target" ] || fail "$target cannot be made"
echo "$target"
