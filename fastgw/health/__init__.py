"""Active health checks of upstream nodes: which addresses are checked, one probe, and when each is due."""
