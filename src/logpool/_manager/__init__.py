"""What runs in the manager process, which holds the log queue.

Nothing here knows of logging, or unpickles what producers put.
"""
