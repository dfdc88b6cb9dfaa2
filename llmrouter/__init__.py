"""Named LLM routes in a YAML file."""
