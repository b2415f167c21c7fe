"""Archive: labelled records in memory, and the windows that are drawn from them."""
