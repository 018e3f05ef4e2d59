"""What serving a target costs an engine."""
