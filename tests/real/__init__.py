"""Tests on real events that others published. The data is read where it lies and is no part of the project.

Where it is: the environment variable AFFLUENCE_DATA, else the folder `shared/data` beside the repository. A test whose
part is absent is skipped, and says which part.
"""
