# shellcheck shell=bash disable=SC2154  # home, etcd_port, api_port, address, cache: set by localnode
# What must hold before anything is touched; each failure is one line that says what to do.

check_linux() { [ "$(uname -s)" = Linux ] || die "runs on Linux only, this is $(uname -s); use kind there"; }

check_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: containers, mounts and firewall rules; run it with sudo"; }

check_up() {
  if alive containerd && alive kube-apiserver; then return; fi
  die "the node is not up; run: $here/localnode up"
}

check_disk() { # folder gigabytes purpose
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  free=$(df --output=avail -k "$folder" | tail -n 1)
  [ "$free" -ge $(($2 * 1024 * 1024)) ] || die "needs $2 GB of free disk $3, and $folder has $((free / 1024)) MB"
}

check_ports() {
  check_port "$etcd_port" etcd
  check_port $((etcd_port + 1)) etcd
  check_port "$api_port" kube-apiserver
  check_port 10250 kubelet
  check_port 10257 kube-controller-manager
  check_port 10259 kube-scheduler
}

check_port() { # port program: free, or held by our own program
  local listener
  if alive "$2" || ! command -v ss >/dev/null; then return 0; fi
  # A program that was just killed holds its port a moment longer, under no name.
  for _ in $(seq 50); do
    listener=$(ss -Hltnp "sport = :$1" | head -n 1)
    [[ $listener && $listener != *users:* ]] || break
    sleep 0.1
  done
  [ -z "$listener" ] || die "port $1, which $2 needs, is taken by $(port_holder "$listener"); stop that, or choose another (run localnode alone to see how)"
}

port_holder() { # a line of ss -> the program's name and number
  sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p;t;s/.*/a program that cannot be seen from here/p' <<<"$1"
}

# program -> Debian's package; what is there already, from whichever source, is left alone.
declare -A package_of=(
  [containerd]=containerd [runc]=runc [iptables]=iptables [ip]=iproute2 [conntrack]=conntrack [ethtool]=ethtool
  [socat]=socat [openssl]=openssl [buildah]=buildah [debootstrap]=debootstrap
)

check_packages() {
  local program missing=()
  for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
  done
  cni_folder >/dev/null || missing+=(containernetworking-plugins)
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  command -v apt-get >/dev/null || die "needs these packages, and there is no apt-get to install them with: $*"
  local log=$home/log/packages.log
  mkdir -p "$home/log"
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 ||
    die "cannot install $*: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log"); whole log: $log"
}

cni_folder() { # -> where the network plugins are
  local folder
  for folder in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    if [ -x "$folder/bridge" ]; then echo "$folder"; return; fi
  done
  return 1
}
