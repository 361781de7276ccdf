"""The process model from outside: what an operator sees, sends and kills."""
