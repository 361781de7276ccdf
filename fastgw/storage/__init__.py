"""The file under the store: its tables, its keys, and how it is kept from being read without them."""
