"""What a process of any role needs: care of forks and signals, and the private directory that processes share."""
