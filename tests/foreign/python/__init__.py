"""Python's programs, run as modules of this package.

    cd tests/foreign && python3 -m python.client URL CA_FILE
"""
