"""Systems that the unified model is compared with."""
