"""A blueprint per noun. A route checks who asks and what for, calls one service, and answers."""
