"""BambooHR, the HR system: employees and what an hour of theirs costs."""
