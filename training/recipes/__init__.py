"""Published experiments, a YAML file each; `spinode.training.recipe` reads them."""
