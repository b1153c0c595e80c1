"""How fast logpool is, side by side with the other ways to log from worker processes. See README.md."""
