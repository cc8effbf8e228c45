"""What billing needs done, as types: commands in, facts out."""
