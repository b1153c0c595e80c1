"""What runs in a worker, or in any child that a relay was handed to.

It lies apart from the parent's because a worker imports it at its start, before its first job, and nothing else: what
only a parent needs would make each worker start later.
"""
