"""A whole archive to events: `seisedge archive`. Needs the extra `archive`; imported only by that command."""
