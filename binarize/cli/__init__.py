"""The command line: it parses, calls the Python face and renders. Nothing else prints or exits."""
