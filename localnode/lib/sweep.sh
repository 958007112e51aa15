# shellcheck shell=bash disable=SC2154  # home, run, bin, ...: set by localnode
# The node's traces on the machine. `sweep` removes them as a reboot would, so that a crash, `down` and
# a reboot are one case for `up`: the pods' processes are gone, and the kubelet starts the pods again.

# The last one comes to stand first.
firewall_rules=(
  "nat POSTROUTING -s $pods ! -d $pods -j MASQUERADE"
  # Where a firewall forwards nothing by default (Docker sets that), pods are let through.
  "filter FORWARD -s $pods -j ACCEPT"
  "filter FORWARD -d $pods -j ACCEPT"
  # An address of a Service that kube-proxy does not know yet would leave the machine, and may reach a stranger.
  "filter FORWARD -d $services -j REJECT"
  "filter OUTPUT -d $services -j REJECT"
)

network() {
  local table chain match
  sysctl -qw net.ipv4.ip_forward=1
  modprobe br_netfilter 2>/dev/null || true # may be built in; start_proxy copes without
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
  # Every watcher of files takes one; the usual 128 end with a few dozen pods.
  [ "$(sysctl -n fs.inotify.max_user_instances)" -ge 8192 ] || sysctl -qw fs.inotify.max_user_instances=8192
  ip address replace "$address/32" dev lo
  printf '%s\n' "${firewall_rules[@]}" | while read -r table chain match; do
    # shellcheck disable=SC2086  # match is several words
    iptables -w -t "$table" -C "$chain" $match 2>/dev/null || iptables -w -t "$table" -I "$chain" $match
  done
}

forget_network() {
  local table chain match
  printf '%s\n' "${firewall_rules[@]}" | while read -r table chain match; do
    # shellcheck disable=SC2086  # match is several words
    iptables -w -t "$table" -D "$chain" $match 2>/dev/null || true
  done
  "$(programs_folder)/kube-proxy" --cleanup >/dev/null 2>&1 || true
  forget_kubelet_rules || true
  ip address delete "$address/32" dev lo 2>/dev/null || true
}

forget_kubelet_rules() {
  local chain table
  for chain in INPUT OUTPUT; do iptables -w -D "$chain" -j KUBE-FIREWALL; done
  for table in mangle nat filter; do
    for chain in KUBE-FIREWALL KUBE-KUBELET-CANARY KUBE-IPTABLES-HINT; do
      iptables -w -t "$table" -F "$chain" && iptables -w -t "$table" -X "$chain"
    done
  done
} 2>/dev/null

sweep() {
  kill_pods
  kill_shims
  remove_pod_networks
  unmount_all
  find "$run" -mindepth 1 -maxdepth 1 ! -name '*.pid' -exec rm -rf {} +
}

containers() { find "$run/containerd/io.containerd.runtime.v2.task/k8s.io" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null || true; }

# By control group: that finds the processes of a container whose shim is dead, too.
kill_pods() {
  local groups=() id
  for id in $(containers); do groups+=(-o -name "$id"); done
  [ ${#groups[@]} -gt 0 ] || return 0
  # A process that is being started while others are killed is found by the second look.
  for _ in 1 2; do
    find /sys/fs/cgroup -type d \( "${groups[@]:1}" \) -exec cat {}/cgroup.procs \; 2>/dev/null | sort -u | xargs -r kill -9 2>/dev/null || true
  done
}

kill_shims() { pgrep -f "^[^ ]*containerd-shim[^ ]* .*-address $run/containerd.sock" | xargs -r kill -9 2>/dev/null || true; }

remove_pod_networks() {
  local space
  containers | while read -r id; do
    grep -o '/var/run/netns/cni-[0-9a-f-]*' "$run/containerd/io.containerd.runtime.v2.task/k8s.io/$id/config.json" 2>/dev/null || true
  done | sort -u | while read -r space; do
    umount -l "$space" 2>/dev/null || true
    rm -f "$space"
  done
  ip link delete localnode0 2>/dev/null || true
}

# Deepest first. Lazily, as the last process in a mount may still be ending.
unmount_all() {
  cut -d' ' -f2 /proc/self/mounts | grep -E "^($run|$home)/" | sort -r | xargs -r -n 1 umount -l || true
}
