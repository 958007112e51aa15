# shellcheck shell=bash disable=SC2154  # home, run, bin, ...: set by localnode
# The node's programs as processes: started in this order, each with a log and a file of its number.

# shellcheck disable=SC2034  # read by status
programs=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet coredns kube-proxy)

ctl() { "${bin:=$(programs_folder)}/kubectl" --kubeconfig "$home/kubeconfig" "$@"; }

# Two `up`s at once would start everything twice.
one_at_a_time() {
  exec 9>"$home/lock"
  flock -w 300 9 || die "another localnode is at work here: $home/lock"
}

alive() { # name: its process runs; one that nobody has reaped does not count, nor another program with its number
  local pid program
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" 2>/dev/null || return 1
  IFS= read -r -d '' program <"/proc/$pid/cmdline" || return 1
  [ "${program##*/}" = "$1" ]
}

start() { # name command...
  local name=$1
  shift
  if alive "$name"; then return; fi
  # Requests inside the node must not leave by a proxy; images from outside may come through one.
  NO_PROXY="127.0.0.1,10.188.0.0/14,.svc,.cluster.local${NO_PROXY:+,$NO_PROXY}" setsid "$@" >"$home/log/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/$name.pid"
}

wait_for() { # seconds name command...: until the command succeeds; at once when the program has died
  local until=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$name" || die "$name has stopped: $(last_words "$name"); whole log: $home/log/$name.log"
    [ $SECONDS -lt "$until" ] || die "$name is not ready: $(last_words "$name"); whole log: $home/log/$name.log"
    sleep 0.1
  done
}

last_words() { tail -n 1 "$home/log/$1.log" | cut -c1-300; }

start_all() {
  start_etcd
  start containerd containerd --config "$home/containerd.toml"
  start_apiserver
  wait_for 30 containerd ctr_ version
  have_pause_image
  wait_for 90 kube-apiserver ctl get --raw /readyz
  start_controllers
  start kubelet "$bin/kubelet" --config "$home/kubelet.yaml" --kubeconfig "$home/kubelet.kubeconfig" \
    --hostname-override "$node" --node-ip "$address" --root-dir "$home/kubelet"
  start coredns "$bin/coredns" -conf "$home/Corefile"
  wait_for 60 kubelet ctl wait --for=condition=Ready "node/$node" --timeout=1s
  # After the node is registered: kube-proxy exits when the node's address changes under it, and then
  # what is sent to a Service's address leaves the machine and reaches something else.
  start_proxy
  wait_for 30 kube-controller-manager ctl get serviceaccount default
}

start_etcd() {
  # Nothing here is worth a disk flush per write.
  start etcd "$bin/etcd" --data-dir "$home/etcd" --unsafe-no-fsync --log-level error \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((etcd_port + 1))" \
    --initial-cluster "default=http://127.0.0.1:$((etcd_port + 1))"
}

start_apiserver() {
  local pki=$home/pki
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
    --secure-port "$api_port" --advertise-address "$address" --service-cluster-ip-range "$services" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/accounts.pub" \
    --service-account-signing-key-file "$pki/accounts.key" \
    --requestheader-client-ca-file "$pki/ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
    --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key"
}

start_controllers() {
  local pki=$home/pki
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$home/kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1 --use-service-account-credentials --service-account-private-key-file "$pki/accounts.key" \
    --root-ca-file "$pki/ca.crt" --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --node-monitor-grace-period 20s --pvclaimbinder-sync-period 1s
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$home/kubeconfig" --leader-elect=false --bind-address 127.0.0.1
}

start_proxy() {
  local masquerade=()
  # Without bridge filtering, an answer between two pods would go straight over the bridge, past the
  # translation of the Service's address.
  [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] || masquerade=(--masquerade-all)
  # A run makes a Service and connects to it at once: it is not to wait for a second's worth of changes.
  # Connection tracking is this machine's, not ours to size.
  start kube-proxy "$bin/kube-proxy" --kubeconfig "$home/kubeconfig" --proxy-mode iptables --hostname-override "$node" \
    --cluster-cidr "$pods" --iptables-min-sync-period 100ms --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0 "${masquerade[@]}"
}

stop() { # name...: all at once, then wait; what has not ended after ten seconds is killed
  local name
  for name in "$@"; do alive "$name" && kill "$(cat "$run/$name.pid")"; done
  for name in "$@"; do
    for _ in $(seq 100); do alive "$name" || break; sleep 0.1; done
    alive "$name" && kill -9 "$(cat "$run/$name.pid")"
    rm -f "$run/$name.pid"
  done
}

stop_all() {
  stop kubelet kube-proxy coredns kube-scheduler kube-controller-manager
  kill_pods
  stop containerd kube-apiserver
  stop etcd
}
