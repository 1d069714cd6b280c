"""What methods accept and return, compared with the signatures that a config declares."""
