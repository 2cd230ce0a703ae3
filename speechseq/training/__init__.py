"""The training loop, its schedules, its log and its exact resume."""
