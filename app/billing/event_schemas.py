"""The shape of the answer to an event."""

from pydantic import BaseModel, ConfigDict, Field


class EventReceivedOut(BaseModel):
    """An event that is stored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "evt_1SVbq2KZ8hXcQ4mB9sT3uW7y", "duplicate": False}]}
    )

    id: str
    duplicate: bool = Field(description="It came before, and nothing follows from it again.")
