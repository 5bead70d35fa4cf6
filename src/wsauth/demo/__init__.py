"""`make demo`: a small FastAPI application with a page that shows what a lease is."""
