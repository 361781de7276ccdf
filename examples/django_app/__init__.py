"""A Django project of one file behind the gateway's chain."""
