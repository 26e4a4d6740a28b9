"""The contracts in which the rooms meet: `Synapse`, `TaskStream` and `DrivenDevice`."""
