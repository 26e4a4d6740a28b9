"""The local page of `spinode view`: what it shows, and the server that answers it."""
