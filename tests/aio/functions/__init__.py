"""gather, wait, wait_for, shield, as_completed and run_coroutine_threadsafe."""
