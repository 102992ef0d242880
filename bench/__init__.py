"""What the platform does in a second, measured on a running one."""
