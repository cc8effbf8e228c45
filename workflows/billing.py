"""What Stripe has of a customer, kept in step with what we have."""
