"""Tests of the event package, by its functions and over real sockets."""
