"""The page of a station: its server, and the bounded rings of what it shows. Imported only where a page is served."""
