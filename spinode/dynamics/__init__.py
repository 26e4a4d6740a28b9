"""Vector fields and their time stepping: integration, rollouts, fixed points, and scales."""
