"""The comparison of everything that we have with everything that the payment provider has."""
