"""What an editor asks of AppNet and probe files: diagnostics, what a name is, where it comes from, a layout; and the server."""
