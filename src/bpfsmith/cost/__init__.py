"""What eBPF costs on a machine: measured (`measure`), kept (`profile`), predicted (`model`); and advice from it (`advice`)."""
