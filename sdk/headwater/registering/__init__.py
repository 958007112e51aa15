"""From a flow in Python to a Flow in a cluster: where its code is, what the resource says, how it gets there."""
