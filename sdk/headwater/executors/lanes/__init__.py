"""Lanes: task runs in batches, sent to threads of ours on the workers, or as Dask tasks to a scheduler elsewhere.

    choice.py      which of the two ways a run takes
    session.py     the engine's side of both: what is submitted becomes batches, records become events
    own.py         over the streams of a scheduler of ours      foreign.py      as Dask tasks
    worker.py      lanes, the threads of a worker               dask_batch.py   a batch in a Dask task
    records.py     the connections by which lanes tell          steps.py        runs the steps of a batch, for both
    dispatch.py    what is ready becomes batches                data.py         a worker's results
    ready.py  sizes.py  fuse.py  making.py  places.py  book.py   what dispatch and session decide by; pure
    batch.py       what travels
    spared.py      keeps the garbage collector from looking at what stays

Dask keeps the cluster and the data. Of its parts without documentation `own.missing_parts` names those that are needed.
"""
