"""Text, token ids and batches."""
