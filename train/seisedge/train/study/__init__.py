"""Studies: the tables of the two seed papers, trained and compared by one command."""
