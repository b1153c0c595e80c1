"""What crosses between processes as bytes. Nothing here knows of logging.

- queue: the log queue, as each process sees it.
- consumer: how the process that gets asks the manager process.
- handshake: how a producer and the manager process know each other.
- pipe: a producer's end of a pipe to the manager process.
- wire: frames, and what the manager process and its clients say to each other.
"""
