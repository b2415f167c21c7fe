"""The workstation's side of an update: hardware profiles, making and signing bundles, and comparing two of them."""
