"""A run on a server: submit it, again if it fails of what may pass; follow it, look at it, stop it."""
