"""Training: the loop, its schedules, its log, and exact resuming."""
