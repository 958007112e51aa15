"""Lanes: batches of task runs, sent over the scheduler's own stream to threads of ours on the workers.

    session.py   the engine's side: what is ready becomes batches, records become events
    worker.py    the worker's side: runs the steps of a batch, streams their records
    fuse.py      which task can follow another in the same batch, before the engine has asked for it
    sizes.py     how many task runs make a batch
    batch.py     what travels

Dask keeps the cluster and the data. Of its parts without documentation, `session.missing_parts` names those that lanes
need.
"""
