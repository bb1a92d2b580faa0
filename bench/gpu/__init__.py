"""`make gpu`: all that a machine with a GPU must prove, in one command and under ten minutes."""
