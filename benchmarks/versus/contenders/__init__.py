"""How each library does the cases: one module a library, which imports it when it is asked to prepare."""
