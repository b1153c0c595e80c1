"""What is measured: one module for each figure.

Each module has `measure(**settings)`, which takes one measurement in an interpreter of its own, and `run(session)`,
which takes many in the command's process and says what they mean.
"""
