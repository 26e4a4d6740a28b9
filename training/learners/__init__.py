"""Networks that learn task after task, as Lightning modules."""
