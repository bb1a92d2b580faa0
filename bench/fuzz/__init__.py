"""Files that are damaged on purpose, by the hundred thousand, for everything that xpnet reads."""
