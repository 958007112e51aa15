# shellcheck shell=bash disable=SC2154  # home: set by localnode
# Volumes on this machine's disk, one per claim, made before the claim or after it.

volume() { # namespace/claim
  local namespace=${1%%/*} claim=${1#*/} name folder
  [[ $1 == */* && $namespace =~ ^[a-z0-9-]+$ && $claim =~ ^[a-z0-9.-]+$ ]] || die "\"$1\" is not NAMESPACE/CLAIM"
  name=$namespace.$claim
  folder=$home/volumes/$name
  mkdir -p "$folder"
  chmod 777 "$folder" # the kubelet does not hand a hostPath over to the pod's group
  ctl apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  accessModes: [ReadWriteOnce, ReadWriteMany, ReadOnlyMany]
  capacity: {storage: 100Gi}
  claimRef: {namespace: $namespace, name: $claim}
  hostPath: {path: $folder, type: Directory}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
YAML
  free_for_new_claim "$name"
}

# A claim that was deleted leaves its volume "Released": with the data, but for no other claim of that name.
free_for_new_claim() { # volume
  [ "$(ctl get persistentvolume "$1" -o 'jsonpath={.status.phase}')" = Released ] || return 0
  ctl patch persistentvolume "$1" --type merge -p '{"spec":{"claimRef":{"uid":null,"resourceVersion":null}}}'
}
