"""Many trainings compared: what is known of their differences, and what is not."""
