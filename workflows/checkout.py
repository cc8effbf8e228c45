"""The pages of the payment provider, for which somebody may be waiting."""
