"""`logpool.dask`: log records of a Dask cluster's tasks, handled by the client as if it had logged them itself.

    a task, in the worker            scheduler                 client
    Logger.callHandlers                                        Dispatcher.handle, in the listener's thread
      RelayHandler: flatten                                      ▲ rebuild
      ▼                                                        Inbox: frames, by offset
    Ring, a mapped file                                          ▲
      ▼                                                          │
    Outbox ── the worker's stream ──▶ SchedulerRelay ── the client's stream
           ◀───── acknowledgements ──────────────────────────────┘

client.py, scheduler.py and worker.py are named after the process that runs them. ring.py has the mapped file, and
distributed.py what is used of distributed's private names.

Records take Dask's own streams, so no port is opened, and the cluster's TLS holds. A worker's records and its message
that a task is done take the same streams, one behind the other: this gives the order.
"""
