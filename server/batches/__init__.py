"""Batches: files of requests, run beside what people wait for."""
