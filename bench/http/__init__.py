"""Hello-world HTTP servers under each loop, with wrk as the load."""
