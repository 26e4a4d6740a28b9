"""The contracts between the rooms: `Synapse`, `TaskStream` and `DrivenDevice`."""
