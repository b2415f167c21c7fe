"""Detection: onsets, and samples that are not ground motion."""
