"""What crosses between processes as bytes: the log queue, its wire format, and the pipes it is written into.

Nothing here knows of logging.
"""
