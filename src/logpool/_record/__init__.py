"""What crosses from a worker to its parent as meaning: a log record.

    worker: flatten.py, pack.py ── bytes ──▶ parent: rebuild.py, unpack.py

What differs from a record of the parent's own:

- `msg` and `args` stay apart where `msg` is a str. Any other message is formatted in the worker, where the object is,
  and `args` is empty. A dict in the place of a message stays a dict.
- An argument that can't be pickled or unpickled, or that would print another text in the parent, is an object of
  another class, which prints as the argument did in the worker (pack_args.py).
- `exc_text` is set, to the traceback as the worker prints it, where the parent can't have the exception, or would print
  it otherwise: without a suggested name, say. A formatter with a `formatException` of its own isn't asked then.
  Where it would print the same, and nothing can notice it (_parent/stock_handlers.py), it is set as well.
- `exc_info` is None where the exception can't be pickled or unpickled. Formatters print `exc_text` then.
- The traceback in `exc_info` has no variables.
- An attribute that can't be pickled or unpickled, or that has a `__del__`, is its `repr`.
"""
