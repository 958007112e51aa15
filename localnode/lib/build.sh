# shellcheck shell=bash disable=SC2154  # cache, here: set by localnode
# The node's programs: built from source once, kept under a name that their inputs decide.

kubernetes=1.37.2
coredns=github.com/coredns/coredns@v1.15.0
helm=helm.sh/helm/v4/cmd/helm@v4.3.1
kubenode_programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

sources_hash() {
  {
    echo "$kubernetes $coredns $helm"
    declare -f compile_kubenode compile_others pause_image
    cd "$here" && cat go.mod go.sum main.go pause/go.mod pause/main.go
  } | sha256sum | cut -c1-12
}

# The Go version is part of the name, but a kept build serves also where Go is not installed.
build_folder() { # -> the folder of the programs, built or to be built; fails without either
  local sources kept go_version
  sources=$(sources_hash)
  if command -v go >/dev/null; then
    go_version=$(cd "$here" && go env GOVERSION)
    echo "$cache/$sources-$go_version"
    return
  fi
  kept=$(find "$cache" -mindepth 1 -maxdepth 1 -name "$sources-go*" 2>/dev/null | sort | tail -n 1)
  [ -n "$kept" ] || die "needs Go to build the node's programs and finds none on PATH; install it from https://go.dev/dl"
  echo "$kept"
}

build() {
  local folder
  folder=$(build_folder)
  [ ! -d "$folder" ] || return 0
  check_disk "$cache" 3 "to build"
  mkdir -p "$cache"
  # A second builder waits, and then finds what the first has made.
  (
    flock 8
    [ -d "$folder" ] || build_into "$folder"
  ) 8>"$cache/lock"
}

build_into() { # folder: all of it or nothing, whenever the build is interrupted
  local partial=$cache/.partial
  rm -rf "$partial"
  mkdir "$partial"
  say "building the node's programs, ten minutes on two cores when nothing is cached; log: $cache/build.log"
  : >"$cache/build.log"
  compile_kubenode "$partial"
  compile_others "$partial"
  pause_image "$partial"
  mv -T "$partial" "$1"
  forget_old_builds
}

compile_kubenode() { # folder
  local flags=k8s.io/component-base/version name
  flags="-s -w -X $flags.gitVersion=v$kubernetes -X $flags.gitMajor=${kubernetes%%.*} -X $flags.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
  logged "compiling Kubernetes" go build -C "$here" -trimpath -buildvcs=false -ldflags "$flags" -o "$1/kubenode" .
  for name in "${kubenode_programs[@]}"; do ln -s kubenode "$1/$name"; done
}

compile_others() { # folder
  CGO_ENABLED=0 logged "compiling pause" go build -C "$here/pause" -trimpath -buildvcs=false -ldflags "-s -w" -o "$1/pause" .
  GOBIN=$1 logged "compiling CoreDNS" go install -trimpath -buildvcs=false -ldflags "-s -w" "$coredns"
  GOBIN=$1 logged "compiling Helm" go install -trimpath -buildvcs=false -ldflags "-s -w" "$helm"
}

logged() { # what command...
  local what=$1
  shift
  say "$what"
  "$@" >>"$cache/build.log" 2>&1 || die "$what failed: $(tail -n 3 "$cache/build.log" | tr '\n' ' '); whole log: $cache/build.log"
}

# The image behind every pod's namespaces: one static program, so no builder is needed to make it.
pause_image() { # folder
  local layer
  tar -C "$1" --owner=0 --group=0 --mtime=@0 -cf "$1/layer.tar" pause
  layer=$(sha256sum "$1/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(go env GOARCH)" "$layer" >"$1/config.json"
  printf '[{"Config":"config.json","RepoTags":["localhost/pause:1"],"Layers":["layer.tar"]}]' >"$1/manifest.json"
  tar -C "$1" -cf "$1/pause.tar" manifest.json config.json layer.tar
  rm "$1/layer.tar" "$1/config.json" "$1/manifest.json"
}

forget_old_builds() { # the two newest stay
  local folder
  find "$cache" -mindepth 1 -maxdepth 1 -name '*-go*' -printf '%T@ %p\n' | sort -rn | tail -n +3 | cut -d' ' -f2- |
    while read -r folder; do [ "$folder" = "$(build_in_use)" ] || rm -rf "$folder"; done
}

build_in_use() { # -> the folder that the running node was started from
  [ -s "$run/build" ] && [ -x "$(cat "$run/build")/kubenode" ] && alive kube-apiserver && cat "$run/build"
}

programs_folder() { # -> a built folder, for kubectl and helm
  local folder
  folder=$(build_in_use || build_folder)
  [ -x "$folder/kubectl" ] || die "is not built yet; run: $here/localnode build"
  echo "$folder"
}
