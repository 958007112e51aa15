# shellcheck shell=bash disable=SC2154  # run, bin: set by localnode
# Images into the node, without a registry.

ctr_() { ctr --address "$run/containerd.sock" --namespace k8s.io "$@"; }

have_pause_image() {
  [ -n "$(ctr_ images ls -q name==localhost/pause:1)" ] || load "$bin/pause.tar" >/dev/null
}

# Each image gets the name that the kubelet looks for, and one with its digest: so a pod can ask for exactly
# this image by digest, and its status tells the digest, as with images that come from a registry.
load() { # file
  local imported name digest full
  [ "$1" = - ] || [ -r "$1" ] || die "cannot read $1"
  imported=$(ctr_ images import "$1" 2>&1) || die "cannot load $1: $(tail -n 1 <<<"$imported")"
  sed -n 's/^unpacking \([^ ]*\) (\(sha256:[0-9a-f]*\)).*/\1 \2/p' <<<"$imported" | while read -r name digest; do
    full=$(full_name "$name")
    [ "$full" = "$name" ] || ctr_ images tag --force "$name" "$full" >/dev/null
    ctr_ images tag --force "$full" "${full%:*}@$digest" >/dev/null
    [ "$full" = "$name" ] || ctr_ images rm "$name" >/dev/null
    echo "$full $digest"
  done
}

full_name() { # headwater/runtime:dev -> docker.io/headwater/runtime:dev
  local registry=${1%%/*}
  case $registry in
    "$1") echo "docker.io/library/$1" ;;
    *.* | *:* | localhost) echo "$1" ;;
    *) echo "docker.io/$1" ;;
  esac
}
