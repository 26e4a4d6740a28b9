"""Vector fields and their time stepping: scales, integration, rollouts, and fixed points."""
