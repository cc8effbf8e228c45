"""What usage needs done, as types: commands in, facts out."""
