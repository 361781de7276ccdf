"""Raw requests and raw upstream answers, each with its exact outcome (cases.py says how one is written)."""
