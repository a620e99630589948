# The Debian 13 root for machines that are not Debian 13: built once per package list, by mmdebstrap.
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared between the files
#
#   $cache/roots/<sha of [base]>/   a complete root; appears by one rename, so it is either whole or not there
#   …/etc/sightglass/base           its packages; …/etc/sightglass/group.NAME those of an installed optional group
#
# A changed list does not build anew: the nearest root is copied with hard links and apt brings the copy up to date.

roots=$cache/roots
recipe=1 # raise it when configure_root changes

# Sets $root; makes sure that it exists (not on Debian 13, where only missing packages are installed).
prepare() {
  [ -z "${prepared:-}" ] || return 0
  if is_native; then
    install_native base
  else
    root=$roots/$({ echo "$recipe"; packages base; } | sha256sum | cut -c1-16)
    [ -d "$root" ] || make_root
    touch -c "$root" 2>/dev/null || true # when it was last used, for prune_roots
  fi
  mkdir -p "$cache"
  prepared=1
}

# need GROUP…: makes sure that optional groups are installed.
need() {
  local group
  prepare
  for group; do
    known_group "$group"
    if is_native; then
      install_native "$group"
    elif ! group_is_current "$group"; then
      with_lock install_group "$group"
    fi
  done
}

install_native() {
  local missing
  # shellcheck disable=SC2016 # dpkg-query's own fields
  mapfile -t missing < <(packages "$@" | xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
    awk '$1 == "installed" { print $2 }' | LC_ALL=C sort | LC_ALL=C comm -23 <(packages "$@") -)
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "please install as root: apt-get install --no-install-recommends ${missing[*]}"
    sudo=(sudo)
  fi
  say "installing ${#missing[@]} packages of env/packages.txt"
  { "${sudo[@]}" apt-get update -q &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >&2 ||
    die "could not install ${missing[*]}"
}

group_is_current() { packages "$1" | cmp -s - "$root/etc/sightglass/group.$1"; }

install_group() {
  group_is_current "$1" && return # another run was faster
  say "installing the optional packages [$1], once"
  local names
  mapfile -t names < <(packages "$1")
  in_root "$root" env/install "${names[@]}" || die "could not install [$1]: $(reason)"
  packages "$1" | as_root tee "$root/etc/sightglass/group.$1" >/dev/null
}

# One builder at a time; the others wait and then find the work done.
with_lock() {
  mkdir -p "$roots" || die "cannot write to $roots"
  exec 9>"$roots/lock"
  if ! flock -n 9; then
    say "waiting for another run that is preparing the environment"
    flock 9
  fi
  "$@" 9>&-
  exec 9>&-
}

make_root() {
  with_lock make_root_locked
}

make_root_locked() {
  [ -d "$root" ] && return
  host_tools
  local new=$roots/.new near
  as_root rm -rf --one-file-system "$new" # what an interrupted run left
  near=$(nearest_root)
  if [ -n "$near" ]; then
    update_copy "$near" "$new"
  else
    bootstrap "$new"
  fi
  configure_root "$new"
  packages base | as_root tee "$new/etc/sightglass/base" >/dev/null
  as_root mv -T "$new" "$root"
  prune_roots
}

configure_root() {
  as_root mkdir -p "$1/etc/sightglass"
  # Packages must not start services. apt's own user has no access to a user's files, nor exists in one's namespace.
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$1/usr/sbin/policy-rc.d" >/dev/null
  as_root chmod 755 "$1/usr/sbin/policy-rc.d"
  printf 'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n' |
    as_root tee "$1/etc/apt/apt.conf.d/99sightglass" >/dev/null
}

# Fails without leaving half a root to fill the disk; what a kill leaves, the next run removes.
give_up() {
  as_root rm -rf --one-file-system "$roots/.new"
  die "$@"
}

bootstrap() {
  local new=$1 free args include
  free=$(df -Pk "$roots" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge 4 ] || die "the environment needs 4 GB in $cache, there are $free; set XDG_CACHE_HOME to another disk"
  say "building the Debian 13 environment in $root, once (about 4 minutes and 2.5 GB)"
  include=$(packages base | paste -sd,)
  args=(--variant=apt --verbose "--skip=cleanup/apt/lists,output/dev" --include="$include"
    --aptopt='APT::Install-Recommends "false"')
  if [ "$(id -u)" = 0 ]; then
    mmdebstrap "${args[@]}" trixie "$new" 2>&1 | progress || give_up "could not build the environment: $(reason)"
  else
    # As a tar, since the user's own folders are closed to the ids that mmdebstrap works under. All files belong to the
    # user in the end, so that removing a root needs no privileges.
    { mmdebstrap --mode=unshare "${args[@]}" --format=tar trixie - | { mkdir "$new" && tar -xf - -C "$new" --no-same-owner; }; } \
      2>&1 | progress || give_up "could not build the environment: $(reason)"
    printf '%s:x:%s:%s::%s:/bin/bash\n' "$(id -un)" "$(id -u)" "$(id -g)" "$HOME" >>"$new/etc/passwd"
  fi
}

# The root that shares most packages with the list.
nearest_root() {
  local dir common best=0 found=''
  for dir in "$roots"/*/; do
    [ -e "$dir/etc/sightglass/base" ] || continue
    common=$(packages base | LC_ALL=C comm -12 - "$dir/etc/sightglass/base" | wc -l)
    if [ "$common" -gt "$best" ]; then
      best=$common found=${dir%/}
    fi
  done
  echo "$found"
}

# dpkg replaces files by rename, which leaves the other root's link alone; what is edited in place lies below /etc and
# /var, so these two are real copies.
update_copy() {
  local old=$1 new=$2 names gone part
  say "bringing the environment up to date with env/packages.txt"
  as_root cp -al "$old" "$new" || give_up "could not copy $old"
  for part in etc var; do
    as_root rm -rf --one-file-system "${new:?}/$part"
    as_root cp -a "$old/$part" "$new/$part"
  done
  mapfile -t names < <(packages base)
  mapfile -t gone < <(packages base | LC_ALL=C comm -13 - "$old/etc/sightglass/base")
  # What left the list must leave the root as well, or its absence would only be noticed on a fresh machine.
  [ ${#gone[@]} -eq 0 ] || in_root "$new" apt-mark auto "${gone[@]}" >/dev/null
  in_root "$new" env/install "${names[@]}" || give_up "could not update the environment: $(reason)"
  [ ${#gone[@]} -eq 0 ] || in_root "$new" apt-get -y -q autoremove --purge \
    -o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false
}

# Two weeks without use; hard links make an old root cheap but not free.
prune_roots() {
  local dir
  find "$roots" -mindepth 1 -maxdepth 1 -type d -mtime +14 -print0 | while IFS= read -r -d '' dir; do
    [ "$dir" = "$root" ] || as_root rm -rf --one-file-system "$dir"
  done
}

remove_cache() { as_root rm -rf --one-file-system "$cache"; }

# Runs env/install or a program as root inside a root, with nothing of the host but the network.
in_root() {
  local dir=$1
  shift
  [ "$1" != env/install ] || set -- sh /tmp/install "${@:2}"
  as_root bwrap --bind "$dir" / --dev-bind /dev /dev --proc /proc --ro-bind /sys /sys --tmpfs /run --tmpfs /tmp \
    --ro-bind "$repo/env/install" /tmp/install --ro-bind "$(readlink -f /etc/resolv.conf)" /etc/resolv.conf \
    --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv LC_ALL C.UTF-8 --setenv HOME /root \
    --chdir / --die-with-parent "$@" 2>&1 | progress
}

# A user is root in a namespace of their own; --map-auto gives it the further ids that dpkg wants to use.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    unshare --user --map-root-user --map-auto -- "$@"
  fi
}

# Only what is missing, and only where a root has to be made: entering one needs bwrap alone.
host_tools() {
  local missing=() tool
  for tool in mmdebstrap bwrap; do
    command -v "$tool" >/dev/null || missing+=("${tool/bwrap/bubblewrap}")
  done
  [ "$(id -u)" = 0 ] || command -v newuidmap >/dev/null || missing+=(uidmap)
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then die "please install first: ${missing[*]}"; fi
    say "installing ${missing[*]}"
    { apt-get install -y -q --no-install-recommends "${missing[@]}" ||
      { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; }; } >"$roots/log" 2>&1 ||
      die "could not install ${missing[*]}: $(reason)"
  fi
  if [ "$(id -u)" != 0 ] && ! unshare --user --map-root-user --map-auto true 2>/dev/null; then
    die "no user namespaces for $(id -un) (see /etc/subuid and the sysctl kernel.unprivileged_userns_clone); run as root or in the container of env/Dockerfile"
  fi
}

# Writes everything to the log and shows now and then how far it is: one line that is redrawn on a terminal.
progress() {
  local line step='' total='' shown=-99 every=15 end='\n'
  local -A count=()
  [ -t 2 ] && every=1 end='\033[K\r'
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      I:*) step=${line#I: } count=() ;;
      *\ newly\ installed,*) total=${line%% newly*} total=" of ${total##* }" ;;
      Get:*) tick downloading "" ;;
      Unpacking*) tick unpacking "$total" ;;
      Setting\ up*) tick "setting up" "$total" ;;
      *) continue ;;
    esac
    if [ -n "$step" ] && [ $((SECONDS - shown)) -ge "$every" ]; then
      shown=$SECONDS
      # shellcheck disable=SC2059 # the line's end is part of the format
      printf "sightglass: %4d s  %.90s$end" "$SECONDS" "$step" >&2
    fi
  done >"$roots/log"
  [ ! -t 2 ] || printf '\033[K' >&2
}

# Counts one package in `progress`.
tick() {
  count[$1]=$((${count[$1]:-0} + 1))
  step="$1 package ${count[$1]}$2"
}

# One line about what went wrong, from the log.
reason() {
  if grep -qiE 'temporary failure resolving|could not resolve|could not connect|network is unreachable|unable to connect' "$roots/log"; then
    echo "no network (Debian's package servers cannot be reached)"
  elif grep -qiE 'no space left|enough free space' "$roots/log"; then
    echo "no space left in $cache"
  elif grep -qiE 'newuidmap|subuid|unshare|user namespace' "$roots/log"; then
    echo "no user namespaces for $(id -un) (see /etc/subuid)"
  else
    echo "$(grep -E '^(E|error):' "$roots/log" | tail -n 1 || true) see $roots/log"
  fi
}
