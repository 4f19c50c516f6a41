"""Files of projects: taken in, given out, removed when their time is over."""
