"""What eBPF costs on a machine: measured (`measure`), kept (`profile`), predicted (`predict`), turned into advice (`advice`)."""
