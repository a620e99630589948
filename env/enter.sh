# Runs a command in the environment, with the build of a preset in its paths.
# shellcheck shell=bash disable=SC2034,SC2154 # variables shared between the files

# enter PRESET CMD…: exit code, signals and terminal are those of the command.
enter() {
  local preset=$1 build=$repo/build/$1
  shift
  local data=${SIGHTGLASS_TEST_DATA:-$repo/../shared/data}
  [ ! -d "$data" ] || data=$(cd -P -- "$data" && pwd)
  local settings=(
    PATH="$build/bin:$repo/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
    GST_PLUGIN_PATH="$build/gstreamer-1.0${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}"
    GST_REGISTRY="$build/gst-registry.bin" # of its own, or two presets would invalidate each other's
    LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    PYTHONPATH="$build/python${PYTHONPATH:+:$PYTHONPATH}"
    SIGHTGLASS_ROOT="$repo" SIGHTGLASS_PRESET="$preset" SIGHTGLASS_CACHE="$cache" SIGHTGLASS_TEST_DATA="$data"
    CCACHE_DIR="${CCACHE_DIR:-$cache/ccache}"
    CCACHE_BASEDIR="$repo" CCACHE_NOHASHDIR=1 # a second checkout compiles nothing anew
  )
  if is_native; then
    env "${settings[@]}" "$@"
    return
  fi
  command -v bwrap >/dev/null || host_tools
  bind_arguments "$data"
  # The host's locale need not exist inside.
  sandboxed "${bind[@]}" env "${settings[@]}" LC_ALL=C.UTF-8 "$@"
}

# Sets $bind: what of the host is seen inside, all at its own path.
bind_arguments() {
  local path paths=("$repo" "$PWD" "$cache" "$1" "${CCACHE_DIR:-}" "${XDG_RUNTIME_DIR:-}" "${XAUTHORITY:-}") more=()
  IFS=: read -r -a more <<<"${SIGHTGLASS_BIND:-}"
  bind=(--bind "$root" / --dev-bind /dev /dev --proc /proc --ro-bind /sys /sys --bind /tmp /tmp)
  for path in "${paths[@]}" "${more[@]}"; do
    # A current folder such as /etc must not hide that of the root.
    case $path in
      '' | / | /usr | /usr/[!l]* | /usr/lib* | /etc | /etc/* | /bin | /sbin | /lib* | /var | /var/lib | /proc* | /sys* | /dev*) continue ;;
    esac
    [ ! -e "$path" ] || bind+=(--bind "$path" "$path")
  done
  bind+=(--ro-bind-try "$(readlink -f /etc/resolv.conf)" /etc/resolv.conf --ro-bind-try /etc/hosts /etc/hosts)
  # A host behind its own certificate authority: its bundle, or nothing could be downloaded.
  bind+=(--ro-bind-try /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt)
  bind_npm
  bind+=(--chdir "$PWD" --die-with-parent)
}

# The host's npm is two things, node and a folder of JavaScript; env/bin/npm runs them from /opt/host-npm.
bind_npm() {
  local node npm
  node=$(readlink -f "$(command -v node)") && npm=$(readlink -f "$(command -v npm)") || return 0
  [[ $npm == */npm/bin/npm-cli.js ]] || return 0
  bind+=(--ro-bind "$node" /opt/host-npm/node --ro-bind "${npm%/bin/npm-cli.js}" /opt/host-npm/npm)
  [ ! -e "$HOME/.npmrc" ] || bind+=(--ro-bind "$HOME/.npmrc" "$HOME/.npmrc")
}

# bwrap waits beside the command and would die of a signal before it, taking it along: so bwrap ignores signals, the
# command (after env) does not, and this shell passes on those that were sent to it alone. What Ctrl-C sends reaches
# the whole foreground group by itself; passing it on would look like a second Ctrl-C.
sandboxed() {
  local pid rc=0 again signal
  (
    trap '' INT QUIT TERM HUP
    exec 9>&-
    exec bwrap "${@:1:${#bind[@]}}" env --default-signal=INT,QUIT,TERM,HUP "${@:${#bind[@]}+2}"
  ) <&0 &
  pid=$!
  for signal in INT QUIT TERM HUP; do
    # shellcheck disable=SC2064 # the values of now
    trap "again=1; pass_on $signal $pid" "$signal"
  done
  while again=''; rc=0; wait "$pid" || rc=$?; [ -n "$again" ]; do :; done
  trap - INT QUIT TERM HUP
  return "$rc"
}

pass_on() {
  local children
  if [[ $1 == INT || $1 == QUIT ]] && in_foreground; then return 0; fi
  children=$(<"/proc/$2/task/$2/children") || return 0
  # shellcheck disable=SC2086 # a list of numbers
  kill -s "$1" $children 2>/dev/null || true
}

# Field 8 of stat is the foreground process group of the terminal, field 5 our own.
in_foreground() {
  local stat
  read -r stat </proc/self/stat
  # shellcheck disable=SC2086 # split into fields
  set -- ${stat##*) }
  [ "$3" = "$6" ]
}
