"""What checkout needs done, as types: commands in, facts out."""
