"""What runs in the process that made the executor or relay, and in which records are handled."""
