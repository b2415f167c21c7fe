"""Archive: labelled records in memory, and the windows drawn from them."""
