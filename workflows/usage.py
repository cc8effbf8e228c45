"""The report of what was used."""
