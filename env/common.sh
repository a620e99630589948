# Shared by ./run and the scripts beside this file; sourced, with $repo set.
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared between the files

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sightglass

say() { printf '%s\n' "sightglass: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# packages GROUP…: the packages of these groups of the list, sorted.
packages() {
  awk -v groups=" $* " '
    /^\[/ { group = substr($0, 2, index($0, "]") - 2); next }
    { sub(/#.*/, ""); gsub(/[ \t]/, "") }
    $0 != "" && index(groups, " " group " ") { print }
  ' "$repo/env/packages.txt" | LC_ALL=C sort -u
}

groups() { sed -n 's/^\[\(.*\)\].*/\1/p' "$repo/env/packages.txt"; }

known_group() { groups | grep -qxF -- "$1" || die "no group '$1' in env/packages.txt; there are: $(groups | tr '\n' ' ')"; }

# Whether this machine (or the root that we are in) is the reference platform.
is_native() { grep -qs '^VERSION_CODENAME=trixie$' /etc/os-release; }
