"""A real engine measured directly and through Portico, side by side: `python -m bench.gpu --help`."""
