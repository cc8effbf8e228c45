"""What can be wrong with a dead letter."""

from app.errors import Conflict


class DeadLetterNotOpen(Conflict):
    """The letter is not open: it was redriven, resolved or discarded."""

    code = "dead_letter_not_open"
