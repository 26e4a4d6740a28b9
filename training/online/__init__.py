"""Online learning, one sample at a time: rules, each with its plain-torch update, and the compiled loop."""
