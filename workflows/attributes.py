"""The search attributes by which workflows are found."""

from temporalio.common import SearchAttributeKey

WORKSPACE_ID = SearchAttributeKey.for_keyword("WorkspaceId")
PROCESS = SearchAttributeKey.for_keyword("Process")
# The providers that a workflow waits for: there may be several.
PROVIDER = SearchAttributeKey.for_keyword_list("Provider")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")
