"""Networks of spiking neurons, as their native loop and its plain-torch twin run them."""
