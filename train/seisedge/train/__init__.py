"""On the workstation: data, networks, training, evaluation. Needs `seisedge[train]`."""
