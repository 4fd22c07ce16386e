"""The report: its sections, the page and text files made of them, and the headline metrics."""
