"""What /metrics shows beside what the parts count: the state of workers, processes, database."""
