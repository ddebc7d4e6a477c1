"""The version of the SDK, as the hello frame tells it."""

__version__ = "0.1.0"
