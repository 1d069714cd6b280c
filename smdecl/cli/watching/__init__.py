"""The `--watch` option: runs a command again when a file changes."""
