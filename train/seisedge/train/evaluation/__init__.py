"""`seisedge evaluate`: measures a model and its baselines on events that the model was not trained on."""
