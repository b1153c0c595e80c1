"""What a process of any role needs.

- cpython: the private names of CPython that are used.
- forks: what must be in order when a process forks.
- signals: signals that are blocked for a moment.
- directory: the manager's private directory.
- advice: notes on errors that users meet.
- hints: what annotations are made of.
"""
