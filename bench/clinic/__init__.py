"""Faulty and healthy programs as learners write them, and how well a diagnosis names what is wrong with each."""
