"""What stops the embedded stack."""


class StackError(Exception):
    """The stack cannot start or run here. The message is one line that says what to do."""
