"""Which imperfection of a device costs a network most: training with all of them, none, each alone and each removed."""
