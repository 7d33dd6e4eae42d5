"""Shared by all tests: helper modules beside a test can be imported by their name."""
