"""The parts of the Redis queue: connection, keys, scripts, jobs, results, leases and pictures."""
