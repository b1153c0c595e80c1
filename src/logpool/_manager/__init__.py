"""What runs in the manager process, which holds the log queue.

- main: its start.
- broker: its loop, from producers to the consumer.
- visitor: a process that has connected.
- reading_end: the manager's end of a producer's pipe.
- assembler: bytes, cut into whole frames.

Nothing here knows of logging, or unpickles what producers put.
"""
