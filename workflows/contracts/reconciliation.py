"""What reconciliation needs done, as types: commands in, facts out."""
