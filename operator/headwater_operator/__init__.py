"""The operator: it watches Flow, FlowVersion and FlowRun and makes the cluster agree with them.

handlers   Kopf: an event becomes a key           cache   our objects and pods, as last seen
queue      keys, one at a time each, with backoff  reconcile   gather -> plan -> apply
flows/ versions/ runs/   plan: pure decisions      objects/    manifests: pure
api        the API server                          apply       carries a plan out
"""
