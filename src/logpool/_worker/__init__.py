"""What runs in a worker, or in any child that a relay was handed to.

- A start: start, installation, inheritance, preload.
- The way of a record: routing, handler, own_context.
- The parent's logging: settings, mirror, stand_ins, record_factory, files, import_guard.
- Jobs: pool_queues, current_job, crash_file.

It lies apart from the parent's because a worker imports it at its start, before its first job, and nothing else: what
only a parent needs would make each worker start later. Where a class has two sides, as the pool's queues have, the
parent's stands first in it.
"""
