"""Between workstation and station: from a training run to the model file. Needs `seisedge[export]`."""
