# shellcheck shell=bash disable=SC2154  # home, run, node, ...: set by localnode
# Certificates and the configuration of each program; written anew at every start but for the certificates.

configure() {
  mkdir -p "$home/cni" "$home/etcd" "$home/kubelet" "$home/volumes"
  chmod 700 "$home/etcd"
  certificates
  write_kubeconfig admin "$home/kubeconfig"
  write_kubeconfig kubelet "$home/kubelet.kubeconfig"
  write_cni
  write_containerd
  write_registries
  write_kubelet
  write_corefile
  echo "$bin" >"$run/build"
}

certificates() {
  local pki=$home/pki names="$node $address $api_service"
  if [ "$(cat "$pki/names" 2>/dev/null)" = "$names" ]; then return; fi
  rm -rf "$pki"
  (
    umask 077
    mkdir -p "$pki"
    cd "$pki" || exit
    new_key ca
    openssl req -x509 -new -key ca.key -subj /CN=localnode-ca -days 3650 -out ca.crt
    new_key accounts
    openssl ec -in accounts.key -pubout -out accounts.pub 2>/dev/null
    issue apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$api_service,IP:$address"
    issue admin /O=system:masters/CN=admin DNS:admin
    issue kubelet "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$address"
    issue front-proxy /CN=front-proxy-client DNS:front-proxy
  )
  echo "$names" >"$pki/names"
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

issue() { # name subject alternative-names
  new_key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=%s\n' "$3")
}

write_kubeconfig() ( # who file
  umask 077
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: localnode
clusters: [{name: localnode, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority-data: $(base64 -w0 "$home/pki/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$home/pki/$1.crt"), client-key-data: $(base64 -w0 "$home/pki/$1.key")}}]
contexts: [{name: localnode, context: {cluster: localnode, user: $1, namespace: default}}]
YAML
)

# Pod addresses are given out below /run: they die with the pods' network at a reboot, and so must their list.
write_cni() {
  cat >"$home/cni/10-localnode.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "localnode", "plugins": [
  {"type": "bridge", "bridge": "localnode0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE, runc may not lower a score and dies with
# "can't get final child's PID from pipe".
write_containerd() {
  cat >"$home/containerd.toml" <<TOML
version = 2
root = "$home/containerd"
state = "$run/containerd"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_folder)"
    conf_dir = "$home/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$home/registries"
TOML
}

# An image that was not loaded is missing at once, on every machine alike: not after half a minute where a registry
# does not answer, and never a stranger's image of the same name.
write_registries() {
  rm -rf "$home/registries"
  if [ "$pull" = yes ]; then return; fi
  mkdir -p "$home/registries/_default"
  # The address is what users read in the pod's events. The second line says nothing new, but containerd 1.6
  # takes no file without it.
  local nowhere=http://127.0.0.1:1/not-in-this-node-use-localnode-load
  printf 'server = "%s"\n[host."%s"]\n' "$nowhere" "$nowhere" >"$home/registries/_default/hosts.toml"
  # But for one that somebody runs on this very machine, at the usual port.
  local own=127.0.0.1:5000
  mkdir -p "$home/registries/$own"
  printf 'server = "http://%s"\n[host."http://%s"]\n' "$own" "$own" >"$home/registries/$own/hosts.toml"
}

# No image is ever collected: what is not on a registry cannot be fetched again.
write_kubelet() {
  cat >"$home/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $home/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
clusterDNS: [$address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$run/containerd.sock
evictionHard: {memory.available: 200Mi, nodefs.available: 2%, imagefs.available: 2%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
maxPods: 250
serializeImagePulls: false
syncFrequency: 10s
tlsCertFile: $home/pki/kubelet.crt
tlsPrivateKeyFile: $home/pki/kubelet.key
YAML
}

write_corefile() {
  cat >"$home/Corefile" <<CORE
.:53 {
  bind $address
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $home/kubeconfig
    ttl 1
  }
  forward . /etc/resolv.conf
}
CORE
}
