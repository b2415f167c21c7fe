"""`seisedge evaluate`: what a model is worth on events it was not trained on, beside the simple things."""
